// SPDX-License-Identifier: Apache-2.0
// What the tests at RPC level share: the real core behind the shim's server, and Terraform's side of a resource's life.

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// terraform drives the provider's server as the CLI does, one resource type at a time.
type terraform struct {
	*testing.T
	*provider
}

// unknown stands in a configuration for a value that is known only later.
var unknown = struct{ unknown bool }{true}

func coreScript(t *testing.T) string {
	t.Helper()
	script, err := filepath.Abs("../core/dist/core.cjs")
	if err == nil {
		_, err = os.Stat(script)
	}
	if err != nil {
		t.Fatalf("build the core first, by node provider/build.mjs: %v", err)
	}
	return script
}

func startTerraform(t *testing.T) terraform {
	t.Helper()
	described, err := parseDescriptor(descriptorJSON)
	if err != nil {
		t.Fatal(err)
	}
	core := newCore(coreScript(t), described.SHA256)
	t.Cleanup(core.stop)
	return terraform{t, newProvider(described, core)}
}

// configured is Terraform with a provider block that names these agents.
func configured(t *testing.T, agents ...*testAgent) terraform {
	t.Helper()
	tf := startTerraform(t)
	hosts := object{}
	for _, agent := range agents {
		hosts[agent.name] = object{"endpoint": agent.endpoint()}
	}
	tf.succeed(tf.configure(object{"hosts": hosts}))
	return tf
}

func (tf terraform) configure(block object) []*tfprotov6.Diagnostic {
	tf.Helper()
	answer, err := tf.ConfigureProvider(context.Background(), &tfprotov6.ConfigureProviderRequest{Config: tf.value(tf.descriptor.Provider.ValueType(), block)})
	tf.must(err)
	return answer.Diagnostics
}

// state is what Terraform keeps of one resource.
type state struct {
	value   *tfprotov6.DynamicValue
	private []byte
}

func (tf terraform) nothing(name string) state {
	return state{value: tf.value(tf.resource(name).value, nil)}
}

func (tf terraform) plan(name string, prior state, config object) *tfprotov6.PlanResourceChangeResponse {
	tf.Helper()
	valueType := tf.resource(name).value
	var wanted any
	if config != nil {
		wanted = config
	}
	answer, err := tf.PlanResourceChange(context.Background(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: name, PriorState: prior.value, PriorPrivate: prior.private,
		Config: tf.value(valueType, wanted), ProposedNewState: tf.proposed(valueType, prior, config),
	})
	tf.must(err)
	return answer
}

// proposed is what Terraform proposes: the configuration, and for attributes that it leaves out what was there before.
func (tf terraform) proposed(valueType tftypes.Type, prior state, config object) *tfprotov6.DynamicValue {
	if config == nil {
		return tf.value(valueType, nil)
	}
	merged := object{}
	for name, value := range tf.plain(valueType, prior.value) {
		merged[name] = value
	}
	for name, value := range config {
		merged[name] = value
	}
	return tf.value(valueType, merged)
}

func (tf terraform) applyContext(ctx context.Context, name string, prior state, config object) (state, []*tfprotov6.Diagnostic) {
	tf.Helper()
	planned := tf.plan(name, prior, config)
	tf.succeed(planned.Diagnostics)
	var wanted any
	if config != nil {
		wanted = config
	}
	answer, err := tf.ApplyResourceChange(ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: name, PriorState: prior.value, PlannedState: planned.PlannedState, PlannedPrivate: planned.PlannedPrivate,
		Config: tf.value(tf.resource(name).value, wanted),
	})
	tf.must(err)
	return state{answer.NewState, answer.Private}, answer.Diagnostics
}

func (tf terraform) apply(name string, prior state, config object) state {
	tf.Helper()
	made, diagnostics := tf.applyContext(context.Background(), name, prior, config)
	tf.succeed(diagnostics)
	return made
}

func (tf terraform) read(name string, current state) (state, []*tfprotov6.Diagnostic) {
	tf.Helper()
	answer, err := tf.ReadResource(context.Background(), &tfprotov6.ReadResourceRequest{TypeName: name, CurrentState: current.value, Private: current.private})
	tf.must(err)
	return state{answer.NewState, answer.Private}, answer.Diagnostics
}

// expectEmptyPlan says that nothing is left to do.
func (tf terraform) expectEmptyPlan(name string, current state, config object) {
	tf.Helper()
	planned := tf.plan(name, current, config)
	tf.succeed(planned.Diagnostics)
	valueType := tf.resource(name).value
	before, after := tf.decoded(valueType, current.value), tf.decoded(valueType, planned.PlannedState)
	if !before.Equal(after) {
		tf.Errorf("the plan is not empty:\n%s\n%s", before, after)
	}
}

// value makes Terraform's form of plain data; attributes that are left out are null.
func (tf terraform) value(valueType tftypes.Type, plain any) *tfprotov6.DynamicValue {
	tf.Helper()
	value, mask := completed(valueType, plain)
	text, err := json.Marshal(wireValue{value, mask})
	tf.must(err)
	var wire wireValue
	tf.must(jsonCodec{}.Unmarshal(text, &wire))
	encoded, err := dynamic(wire, valueType)
	tf.must(err)
	return encoded
}

func completed(valueType tftypes.Type, plain any) (value any, mask any) {
	if plain == unknown {
		return nil, true
	}
	members, isObject := plain.(object)
	if !isObject {
		return plain, nil
	}
	values, masks := object{}, object{}
	for name, member := range members {
		values[name], masks[name] = completed(memberType(valueType, name), member)
	}
	if declared, ok := valueType.(tftypes.Object); ok {
		for name := range declared.AttributeTypes {
			if _, given := members[name]; !given {
				values[name] = nil
			}
		}
	}
	return values, masks
}

func memberType(valueType tftypes.Type, name string) tftypes.Type {
	switch shape := valueType.(type) {
	case tftypes.Object:
		return shape.AttributeTypes[name]
	case tftypes.Map:
		return shape.ElementType
	}
	return valueType
}

func (tf terraform) decoded(valueType tftypes.Type, encoded *tfprotov6.DynamicValue) tftypes.Value {
	tf.Helper()
	value, err := encoded.Unmarshal(valueType)
	tf.must(err)
	return value
}

// plain is a value as plain data, or nil where it is null; what is unknown is absent.
func (tf terraform) plain(valueType tftypes.Type, encoded *tfprotov6.DynamicValue) object {
	tf.Helper()
	wire, err := toWire(tf.decoded(valueType, encoded))
	tf.must(err)
	text, err := json.Marshal(wire.Value)
	tf.must(err)
	var plain object
	tf.must(json.Unmarshal(text, &plain))
	masks, _ := wire.Unknown.(map[string]any)
	for name, mask := range masks {
		if mask == true {
			delete(plain, name)
		}
	}
	return plain
}

func (tf terraform) must(err error) {
	tf.Helper()
	if err != nil {
		tf.Fatal(err)
	}
}

func (tf terraform) succeed(diagnostics []*tfprotov6.Diagnostic) {
	tf.Helper()
	for _, diagnostic := range diagnostics {
		tf.Fatalf("%s: %s (%s)", diagnostic.Summary, diagnostic.Detail, diagnostic.Attribute)
	}
}

// What a test waits for at most, on a busy machine too.
const patience = 10 * time.Second

// eventually waits for what other processes bring about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within %s: %s", patience, what)
}
