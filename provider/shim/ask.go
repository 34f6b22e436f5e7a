// SPDX-License-Identifier: Apache-2.0
// One call to the core, whatever the method: Terraform's values encoded by the subject's schema, the answer decoded by it, every failure a diagnostic.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// subject is what a call is about: the provider itself, a resource or a data source. Only resources have an identity.
type subject struct {
	name     string
	value    tftypes.Type
	identity tftypes.Type
}

// question holds what Terraform sent; absent parts stay absent.
type question struct {
	Config, Prior, Proposed, Planned *tfprotov6.DynamicValue
	Identity                         *tfprotov6.ResourceIdentityData
	Private                          []byte
	ID                               string
}

// reply holds what the core answered. It is not Given where there was no answer at all; the diagnostics then say why.
type reply struct {
	Given    bool
	State    *tfprotov6.DynamicValue
	Identity *tfprotov6.ResourceIdentityData
	Private  []byte
	Replace  []*tftypes.AttributePath
}

var errUnknownType = errors.New("this provider has no resource or data source of that type")

// failed is the diagnostic of a failure that is no user's fault; none where there is no error.
func failed(err error) []*tfprotov6.Diagnostic {
	if err == nil {
		return nil
	}
	return []*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: "The inkev provider failed", Detail: err.Error()}}
}

func (p *provider) itself() *subject {
	return &subject{value: p.descriptor.Provider.ValueType()}
}

func (p *provider) resource(name string) *subject {
	declared, known := p.descriptor.Resources[name]
	if !known {
		return nil
	}
	return &subject{name: name, value: declared.Schema.ValueType(), identity: declared.Identity.ValueType()}
}

func (p *provider) dataSource(name string) *subject {
	declared, known := p.descriptor.DataSources[name]
	if !known {
		return nil
	}
	return &subject{name: name, value: declared.ValueType()}
}

func (p *provider) ask(ctx context.Context, method string, about *subject, asked question) (reply, []*tfprotov6.Diagnostic) {
	answer, diagnostics, err := p.exchange(ctx, method, about, asked)
	if err != nil {
		return reply{}, append(diagnostics, failed(err)...)
	}
	return answer, diagnostics
}

func (p *provider) exchange(ctx context.Context, method string, about *subject, asked question) (reply, []*tfprotov6.Diagnostic, error) {
	if about == nil {
		return reply{}, nil, errUnknownType
	}
	in, err := about.encode(asked)
	if err != nil {
		return reply{}, nil, fmt.Errorf("Terraform sent a value that does not fit the schema: %w", err)
	}
	out, err := p.core.call(ctx, method, in)
	if err != nil {
		return reply{}, nil, err
	}
	diagnostics := toDiagnostics(out.Diagnostics)
	answer, err := about.decode(out)
	if err != nil {
		return reply{}, diagnostics, fmt.Errorf("the provider core answered a value that does not fit the schema: %w", err)
	}
	return answer, diagnostics, nil
}

func (s *subject) encode(asked question) (request, error) {
	in := request{Type: s.name, ID: asked.ID, Private: jsonOrNothing(asked.Private)}
	var identity *tfprotov6.DynamicValue
	if asked.Identity != nil {
		identity = asked.Identity.IdentityData
	}
	parts := []struct {
		from *tfprotov6.DynamicValue
		to   **wireValue
		as   tftypes.Type
	}{
		{asked.Config, &in.Config, s.value},
		{asked.Prior, &in.Prior, s.value},
		{asked.Proposed, &in.Proposed, s.value},
		{asked.Planned, &in.Planned, s.value},
		{identity, &in.Identity, s.identity},
	}
	for _, part := range parts {
		if part.from == nil {
			continue
		}
		value, err := part.from.Unmarshal(part.as)
		if err != nil {
			return request{}, err
		}
		wire, err := toWire(value)
		if err != nil {
			return request{}, err
		}
		*part.to = &wire
	}
	return in, nil
}

func (s *subject) decode(out *response) (reply, error) {
	answer := reply{Given: true, Private: out.Private}
	for _, steps := range out.Replace {
		answer.Replace = append(answer.Replace, toPath(steps))
	}
	if out.State != nil {
		state, err := dynamic(*out.State, s.value)
		if err != nil {
			return reply{}, err
		}
		answer.State = state
	}
	if out.Identity != nil {
		identity, err := dynamic(*out.Identity, s.identity)
		if err != nil {
			return reply{}, err
		}
		answer.Identity = &tfprotov6.ResourceIdentityData{IdentityData: identity}
	}
	return answer, nil
}

// presumedState is the state after an Apply of which no answer came. Nothing is lost: what existed is kept as it was; what was being created is
// kept as planned, so that the next refresh finds out whether it exists.
func (s *subject) presumedState(req *tfprotov6.ApplyResourceChangeRequest) *tfprotov6.DynamicValue {
	if s == nil {
		return req.PriorState
	}
	if created, err := req.PriorState.IsNull(); err != nil || !created {
		return req.PriorState
	}
	planned, err := req.PlannedState.Unmarshal(s.value)
	if err != nil {
		return req.PriorState
	}
	known, err := knownPart(planned)
	if err != nil {
		return req.PriorState
	}
	state, err := tfprotov6.NewDynamicValue(s.value, known)
	if err != nil {
		return req.PriorState
	}
	return &state
}

// inShape reads what an earlier version stored: attributes that are gone are dropped, new ones are null until the next refresh.
func inShape(stored *tfprotov6.RawState, valueType tftypes.Type) (*tfprotov6.DynamicValue, error) {
	lenient := tfprotov6.UnmarshalOpts{ValueFromJSONOpts: tftypes.ValueFromJSONOpts{IgnoreUndefinedAttributes: true}}
	value, err := stored.UnmarshalWithOpts(valueType, lenient)
	if err != nil {
		return nil, fmt.Errorf("the stored state does not fit the schema: %w", err)
	}
	encoded, err := tfprotov6.NewDynamicValue(valueType, value)
	return &encoded, err
}

func dynamic(wire wireValue, valueType tftypes.Type) (*tfprotov6.DynamicValue, error) {
	value, err := fromWire(wire, valueType)
	if err != nil {
		return nil, err
	}
	encoded, err := tfprotov6.NewDynamicValue(valueType, value)
	return &encoded, err
}

func jsonOrNothing(text []byte) json.RawMessage {
	if json.Valid(text) {
		return text
	}
	return nil
}
