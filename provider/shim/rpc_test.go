// SPDX-License-Identifier: Apache-2.0
// The provider at RPC level: the real shim and the real core, agents of the tests behind them.

package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

func web(hosts ...any) object {
	return object{"name": "web", "vni": 100, "hosts": hosts, "subnets": object{"v4": object{"cidr": "10.0.1.0/24"}}}
}

func web1(host string) object {
	return object{"name": "web1", "host": host, "network": "web", "netns": "web1", "ip_addresses": []any{"10.0.1.11"}}
}

func TestSchemasNeedNoNode(t *testing.T) {
	t.Setenv("INKEV_NODE", "/nonexistent")
	tf := startTerraform(t)
	schemas, err := tf.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	tf.must(err)
	identities, err := tf.GetResourceIdentitySchemas(context.Background(), &tfprotov6.GetResourceIdentitySchemasRequest{})
	tf.must(err)
	for _, name := range []string{"inkev_network", "inkev_port", "inkev_function", "inkev_stitch"} {
		if schemas.ResourceSchemas[name] == nil || len(identities.IdentitySchemas[name].IdentityAttributes) == 0 {
			t.Errorf("%s lacks a schema or an identity", name)
		}
	}
}

func TestMissingNodeIsADiagnostic(t *testing.T) {
	t.Setenv("INKEV_NODE", "/nonexistent")
	expectError(t, startTerraform(t).configure(object{}), "cannot start Node.js")
}

func TestCoreOfOtherSourcesIsRefused(t *testing.T) {
	tf := startTerraform(t)
	tf.core.sha256 = "other"
	expectError(t, tf.configure(object{}), "built from other sources")
}

func TestPlanOfANewObjectMarksWhatOnlyTheAgentKnows(t *testing.T) {
	agent := startAgent(t, "edge-1")
	tf := configured(t, agent)
	planned := tf.plan("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	tf.succeed(planned.Diagnostics)
	attributes := attributesOf(tf, "inkev_network", planned.PlannedState)
	if attributes["mtu"].IsKnown() {
		t.Error("mtu is known before the agent computed it")
	}
	if !attributes["aging_time"].Equal(tftypes.NewValue(tftypes.String, "300s")) {
		t.Errorf("the default of aging_time is not planned: %s", attributes["aging_time"])
	}
	gateway, _, err := tftypes.WalkAttributePath(attributes["subnets"], tftypes.NewAttributePath().WithElementKeyString("v4").WithAttributeName("gateway"))
	if err != nil || gateway.(tftypes.Value).IsKnown() {
		t.Errorf("gateway is known before the agent computed it: %v, %v", gateway, err)
	}
}

func TestUnknownConfigurationPassesThroughPlan(t *testing.T) {
	tf := configured(t, startAgent(t, "edge-1"))
	config := web1("edge-1")
	config["network"], config["ip_addresses"] = unknown, []any{"10.0.1.11"}
	planned := tf.plan("inkev_port", tf.nothing("inkev_port"), config)
	tf.succeed(planned.Diagnostics)
	if attributesOf(tf, "inkev_port", planned.PlannedState)["network"].IsKnown() {
		t.Error("an unknown reference became known")
	}
}

func TestUnknownProviderBlockIsToleratedAtPlan(t *testing.T) {
	tf := startTerraform(t)
	tf.succeed(tf.configure(object{"hosts": unknown}))
	config := web()
	delete(config, "hosts")
	planned := tf.plan("inkev_network", tf.nothing("inkev_network"), config)
	tf.succeed(planned.Diagnostics)
	if attributesOf(tf, "inkev_network", planned.PlannedState)["hosts"].IsKnown() {
		t.Error("hosts is known though the provider block is not")
	}
}

func TestANetworkLivesThroughCreateReadUpdateAndDelete(t *testing.T) {
	one, two := startAgent(t, "edge-1"), startAgent(t, "edge-2")
	tf := configured(t, one, two)
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1", "edge-2"))
	if mtu := tf.plain(tf.resource("inkev_network").value, made.value)["mtu"]; mtu != 1450.0 {
		t.Errorf("mtu is %v", mtu)
	}
	if peer := one.stored("peers/web.edge-2"); peer == nil || peer["vtep"] != "192.0.2.2" {
		t.Errorf("edge-1 does not know edge-2: %v", peer)
	}
	made, diagnostics := tf.read("inkev_network", made)
	tf.succeed(diagnostics)
	tf.expectEmptyPlan("inkev_network", made, web("edge-1", "edge-2"))

	alone := tf.apply("inkev_network", made, web("edge-1"))
	if two.stored("networks/web") != nil || one.stored("peers/web.edge-2") != nil || two.stored("peers/web.edge-1") != nil {
		t.Error("the host that left still has the network, or is still known")
	}
	tf.apply("inkev_network", alone, nil)
	if len(one.objects)+len(two.objects) > 0 {
		t.Errorf("left behind: %v %v", one.objects, two.objects)
	}
}

func TestAPortIsAnnouncedToTheOtherHostsOfItsNetwork(t *testing.T) {
	one, two := startAgent(t, "edge-1"), startAgent(t, "edge-2")
	tf := configured(t, one, two)
	tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1", "edge-2"))
	made := tf.apply("inkev_port", tf.nothing("inkev_port"), web1("edge-1"))
	if endpoint := two.stored("endpoints/web.web1"); endpoint == nil || endpoint["mac"] != "02:00:00:00:00:07" || endpoint["host"] != "edge-1" {
		t.Errorf("edge-2 does not know where web1 lives: %v", endpoint)
	}
	tf.apply("inkev_port", made, nil)
	if one.stored("ports/web1") != nil || two.stored("endpoints/web.web1") != nil {
		t.Error("the port or its endpoint is left behind")
	}
}

func TestALostEndpointIsDriftAndIsRepaired(t *testing.T) {
	one, two := startAgent(t, "edge-1"), startAgent(t, "edge-2")
	tf := configured(t, one, two)
	tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1", "edge-2"))
	made := tf.apply("inkev_port", tf.nothing("inkev_port"), web1("edge-1"))
	two.remove("endpoints/web.web1")

	again := configured(t, one, two)
	made, diagnostics := again.read("inkev_port", made)
	again.succeed(diagnostics)
	if again.plain(again.resource("inkev_port").value, made.value)["announced"] != false {
		t.Error("the refresh does not show that the endpoint is gone")
	}
	made = again.apply("inkev_port", made, web1("edge-1"))
	if two.stored("endpoints/web.web1") == nil {
		t.Error("the endpoint is not repaired")
	}
	again.expectEmptyPlan("inkev_port", made, web1("edge-1"))
}

func TestANewHostOfANetworkLearnsThePortsOfTheOthers(t *testing.T) {
	one, two := startAgent(t, "edge-1"), startAgent(t, "edge-2")
	tf := configured(t, one, two)
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	tf.apply("inkev_port", tf.nothing("inkev_port"), web1("edge-1"))
	tf.apply("inkev_network", made, web("edge-1", "edge-2"))
	if two.stored("endpoints/web.web1") == nil {
		t.Error("edge-2 does not know where web1 lives")
	}
}

func TestAHostThatLostTheNetworkIsDriftAndIsRepaired(t *testing.T) {
	one, two := startAgent(t, "edge-1"), startAgent(t, "edge-2")
	tf := configured(t, one, two)
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1", "edge-2"))
	two.remove("networks/web")

	again := configured(t, one, two)
	made, diagnostics := again.read("inkev_network", made)
	again.succeed(diagnostics)
	made = again.apply("inkev_network", made, web("edge-1", "edge-2"))
	if two.stored("networks/web") == nil {
		t.Error("the network is not repaired on edge-2")
	}
	again.expectEmptyPlan("inkev_network", made, web("edge-1", "edge-2"))
}

func TestAnObjectThatIsGoneEverywhereIsNullState(t *testing.T) {
	agent := startAgent(t, "edge-1")
	tf := configured(t, agent)
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	agent.remove("networks/web")
	gone, diagnostics := configured(t, agent).read("inkev_network", made)
	tf.succeed(diagnostics)
	if isNull, _ := gone.value.IsNull(); !isNull {
		t.Error("the state of a deleted object is not null")
	}
}

func TestAnAgentThatIsDownIsAnErrorAndNeverNullState(t *testing.T) {
	agent := startAgent(t, "edge-1")
	tf := configured(t, agent)
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	down := startTerraform(t)
	tf.succeed(down.configure(object{"hosts": object{"edge-1": object{"endpoint": "unix:///nonexistent/agent.sock"}}}))
	kept, diagnostics := down.read("inkev_network", made)
	expectError(t, diagnostics, "Host edge-1 does not answer")
	if isNull, _ := kept.value.IsNull(); isNull {
		t.Error("the state of an unreachable object is null")
	}
	expectError(t, down.plan("inkev_network", down.nothing("inkev_network"), web("edge-1")).Diagnostics, "Start the agent of edge-1")
}

func TestAnOldAgentAWrongTokenAndAWrongHostAreRefusedAtPlan(t *testing.T) {
	for sentence, refuse := range map[string]func(method, path string) (int, object){
		"refuses the caller": func(string, string) (int, object) {
			return 401, object{"code": "INKEV_ERR_UNAUTHENTICATED", "message": "the request carries no valid token"}
		},
		"is no inkev agent": func(string, string) (int, object) { return 404, object{} },
	} {
		agent := startAgent(t, "edge-1")
		agent.refuse = refuse
		tf := configured(t, agent)
		expectError(t, tf.plan("inkev_network", tf.nothing("inkev_network"), web("edge-1")).Diagnostics, sentence)
	}
	agent := startAgent(t, "edge-1")
	tf := startTerraform(t)
	tf.succeed(tf.configure(object{"hosts": object{"edge-7": object{"endpoint": agent.endpoint()}}}))
	expectError(t, tf.plan("inkev_network", tf.nothing("inkev_network"), web("edge-7")).Diagnostics, "belongs to the host edge-1")
}

func TestAnUnknownHostIsRefusedAtPlanOnItsAttribute(t *testing.T) {
	tf := configured(t, startAgent(t, "edge-1"), startAgent(t, "edge-2"))
	diagnostics := tf.plan("inkev_port", tf.nothing("inkev_port"), web1("edge-9")).Diagnostics
	expectError(t, diagnostics, "unknown host edge-9: the provider block names edge-1, edge-2")
	if !diagnostics[0].Attribute.Equal(tftypes.NewAttributePath().WithAttributeName("host")) {
		t.Errorf("the error stands at %s", diagnostics[0].Attribute)
	}
}

func TestResourcesOfOneRunAreJudgedTogetherAtPlan(t *testing.T) {
	tf := configured(t, startAgent(t, "edge-1"), startAgent(t, "edge-2"))
	tf.succeed(tf.plan("inkev_network", tf.nothing("inkev_network"), web("edge-1")).Diagnostics)

	second := web("edge-1")
	second["name"] = "other"
	expectError(t, tf.plan("inkev_network", tf.nothing("inkev_network"), second).Diagnostics, "VNI 100")

	outside := web1("edge-1")
	outside["ip_addresses"] = []any{"10.0.2.11"}
	expectError(t, tf.plan("inkev_port", tf.nothing("inkev_port"), outside).Diagnostics, "10.0.2.11")

	expectError(t, tf.plan("inkev_port", tf.nothing("inkev_port"), web1("edge-2")).Diagnostics, "does not span edge-2")
}

func TestAChangeOfIdentityIsAReplacement(t *testing.T) {
	tf := configured(t, startAgent(t, "edge-1"))
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	renamed := web("edge-1")
	renamed["name"] = "other"
	planned := tf.plan("inkev_network", made, renamed)
	tf.succeed(planned.Diagnostics)
	if len(planned.RequiresReplace) != 1 || !planned.RequiresReplace[0].Equal(tftypes.NewAttributePath().WithAttributeName("name")) {
		t.Errorf("replaced by %s", planned.RequiresReplace)
	}
}

func TestAStitchWithoutANameIsNamedByItsEnds(t *testing.T) {
	agent := startAgent(t, "edge-1")
	tf := configured(t, agent)
	ends := object{"a": object{"function": "gateway", "port": "web"}, "b": object{"network": "web"}}
	if planned := tf.plan("inkev_stitch", tf.nothing("inkev_stitch"), ends); planned.PlannedIdentity != nil {
		t.Error("an identity is planned though the name is not known; OpenTofu refuses that")
	}
	made := tf.apply("inkev_stitch", tf.nothing("inkev_stitch"), ends)
	if agent.stored("stitches/gateway-web--web") == nil {
		t.Errorf("stored: %v", agent.objects)
	}
	tf.expectEmptyPlan("inkev_stitch", made, ends)
}

func TestWhatExistsWithOtherContentIsNotOverwritten(t *testing.T) {
	agent := startAgent(t, "edge-1")
	agent.objects["networks/web"] = object{"vni": 7, "subnets": object{}}
	tf := configured(t, agent)
	left, diagnostics := tf.applyContext(context.Background(), "inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	expectError(t, diagnostics, "terraform import inkev_network.NAME web")
	if agent.stored("networks/web")["vni"] != 7 {
		t.Error("the other's network was overwritten")
	}
	if isNull, _ := left.value.IsNull(); !isNull {
		t.Error("the other's network came into the state")
	}
}

func TestAChangeSincePlanIsNotOverwritten(t *testing.T) {
	agent := startAgent(t, "edge-1")
	tf := configured(t, agent)
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	agent.objects["networks/web"] = object{"vni": 100, "subnets": object{}, "learning": false}
	changed := web("edge-1")
	changed["aging_time"] = "60s"
	_, diagnostics := tf.applyContext(context.Background(), "inkev_network", made, changed)
	expectError(t, diagnostics, "changed on edge-1")
}

func TestARefusalStandsAtItsAttribute(t *testing.T) {
	agent := startAgent(t, "edge-1")
	agent.refuse = func(method, path string) (int, object) {
		if method != "PUT" {
			return 0, nil
		}
		return 422, object{"code": "INKEV_ERR_CONFIG", "message": "no good", "path": "subnets.v4.cidr", "hint": "Take another."}
	}
	tf := configured(t, agent)
	left, diagnostics := tf.applyContext(context.Background(), "inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	expectError(t, diagnostics, "no good. Take another.")
	if path := tftypes.NewAttributePath().WithAttributeName("subnets").WithElementKeyString("v4"); !diagnostics[0].Attribute.Equal(path) {
		t.Errorf("the error stands at %s", diagnostics[0].Attribute)
	}
	if isNull, _ := left.value.IsNull(); !isNull {
		t.Error("something came into the state though nothing was made")
	}
}

func TestAHalfDoneCreateLeavesWhatIsThereInTheState(t *testing.T) {
	one, two := startAgent(t, "edge-1"), startAgent(t, "edge-2")
	two.refuse = func(method, path string) (int, object) {
		if method == "PUT" {
			return 422, object{"code": "INKEV_ERR_KERNEL", "message": "the kernel says no"}
		}
		return 0, nil
	}
	tf := configured(t, one, two)
	left, diagnostics := tf.applyContext(context.Background(), "inkev_network", tf.nothing("inkev_network"), web("edge-1", "edge-2"))
	expectError(t, diagnostics, "the kernel says no")
	if hosts := tf.plain(tf.resource("inkev_network").value, left.value)["hosts"]; fmt.Sprint(hosts) != "[edge-1]" {
		t.Errorf("hosts is %v", hosts)
	}
}

func TestABusyAgentIsAskedAgain(t *testing.T) {
	agent := startAgent(t, "edge-1")
	refusals := 0
	agent.refuse = func(method, path string) (int, object) {
		if method == "DELETE" && refusals < 3 {
			refusals++
			return 409, object{"code": "INKEV_ERR_IN_USE", "message": "in use"}
		}
		return 0, nil
	}
	tf := configured(t, agent)
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	tf.apply("inkev_network", made, nil)
	if refusals != 3 || agent.stored("networks/web") != nil {
		t.Errorf("%d refusals, left: %v", refusals, agent.objects)
	}
}

func TestOneRefreshSharesItsLists(t *testing.T) {
	agent := startAgent(t, "edge-1")
	tf := configured(t, agent)
	tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	var ports []state
	for n := range 20 {
		config := web1("edge-1")
		config["name"], config["netns"], config["ip_addresses"] = fmt.Sprintf("p%d", n), fmt.Sprintf("p%d", n), []any{fmt.Sprintf("10.0.1.%d", 20+n)}
		config["mac"] = fmt.Sprintf("02:00:00:00:01:%02x", n)
		ports = append(ports, tf.apply("inkev_port", tf.nothing("inkev_port"), config))
	}
	refresh, before := configured(t, agent), agent.count("GET ports")
	for _, port := range ports {
		_, diagnostics := refresh.read("inkev_port", port)
		refresh.succeed(diagnostics)
	}
	if lists := agent.count("GET ports") - before; lists != 1 {
		t.Errorf("20 ports were refreshed by %d lists", lists)
	}
}

func TestImportFindsAnObjectByItsNameAndTheNextPlanIsEmpty(t *testing.T) {
	one, two := startAgent(t, "edge-1"), startAgent(t, "edge-2")
	tf := configured(t, one, two)
	tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1", "edge-2"))
	tf.apply("inkev_port", tf.nothing("inkev_port"), web1("edge-1"))
	for id, config := range map[string]object{"inkev_network web": web("edge-1", "edge-2"), "inkev_port edge-1/web1": web1("edge-1")} {
		name, id, _ := strings.Cut(id, " ")
		again := configured(t, one, two)
		answer, err := again.ImportResourceState(context.Background(), &tfprotov6.ImportResourceStateRequest{TypeName: name, ID: id})
		tf.must(err)
		tf.succeed(answer.Diagnostics)
		imported, diagnostics := again.read(name, state{answer.ImportedResources[0].State, answer.ImportedResources[0].Private})
		tf.succeed(diagnostics)
		again.expectEmptyPlan(name, imported, config)
	}
	answer, err := tf.ImportResourceState(context.Background(), &tfprotov6.ImportResourceStateRequest{TypeName: "inkev_network", ID: "none"})
	tf.must(err)
	expectError(t, answer.Diagnostics, "There is no inkev_network none")
}

func TestStoredStateOfAnotherSchemaIsBroughtUpToDate(t *testing.T) {
	tf := startTerraform(t)
	answer, err := tf.UpgradeResourceState(context.Background(), &tfprotov6.UpgradeResourceStateRequest{
		TypeName: "inkev_network", RawState: &tfprotov6.RawState{JSON: []byte(`{"name":"web","vni":100,"gone":true,"subnets":{"v4":{"cidr":"10.0.0.0/8","gone":1}}}`)},
	})
	tf.must(err)
	tf.succeed(answer.Diagnostics)
	if upgraded := tf.plain(tf.resource("inkev_network").value, answer.UpgradedState); upgraded["vni"] != 100.0 || upgraded["mtu"] != nil {
		t.Errorf("upgraded to %v", upgraded)
	}
}

func TestCancelReturnsWhatWasDoneUntilThen(t *testing.T) {
	one, two := startAgent(t, "edge-1"), startAgent(t, "edge-2")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	one.wrote = func(method, path string) { cancel() }
	two.refuse = func(method, path string) (int, object) {
		if method == "PUT" {
			return 503, object{"code": "INKEV_ERR_TIMEOUT", "message": "busy"}
		}
		return 0, nil
	}
	tf := configured(t, one, two)
	begun := time.Now()
	left, diagnostics := tf.applyContext(ctx, "inkev_network", tf.nothing("inkev_network"), web("edge-1", "edge-2"))
	expectError(t, diagnostics, "The create was cancelled")
	if hosts := tf.plain(tf.resource("inkev_network").value, left.value)["hosts"]; fmt.Sprint(hosts) != "[edge-1]" {
		t.Errorf("hosts is %v", hosts)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the cancel took %s", took)
	}
}

func TestACoreThatDiesInApplyLosesNothing(t *testing.T) {
	agent := startAgent(t, "edge-1")
	tf := configured(t, agent)
	made := tf.apply("inkev_network", tf.nothing("inkev_network"), web("edge-1"))
	agent.wrote = func(string, string) { syscall.Kill(tf.core.process.command.Process.Pid, syscall.SIGKILL) }

	created := web1("edge-1")
	left, diagnostics := tf.applyContext(context.Background(), "inkev_port", tf.nothing("inkev_port"), created)
	expectError(t, diagnostics, "the provider core ended during Apply (signal: killed)")
	if kept := tf.plain(tf.resource("inkev_port").value, left.value); kept["name"] != "web1" || kept["host"] != "edge-1" {
		t.Errorf("the state of a port that may exist is %v", kept)
	}

	answer, err := tf.ApplyResourceChange(context.Background(), &tfprotov6.ApplyResourceChangeRequest{
		TypeName: "inkev_network", PriorState: made.value, PlannedState: tf.nothing("inkev_network").value, Config: tf.nothing("inkev_network").value,
	})
	tf.must(err)
	expectError(t, answer.Diagnostics, "the provider core ended")
	if isNull, _ := answer.NewState.IsNull(); isNull {
		t.Error("an object that was not deleted is gone from the state")
	}
}

func TestAnAgentBehindTLSIsKnownByItsCAAndKnowsTheToken(t *testing.T) {
	agent := startAgent(t, "edge-1")
	var token string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("authorization")
		agent.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	plan := func(block object) []*tfprotov6.Diagnostic {
		tf := startTerraform(t)
		block["hosts"] = object{"edge-1": object{"endpoint": server.URL}}
		tf.succeed(tf.configure(block))
		return tf.plan("inkev_network", tf.nothing("inkev_network"), web("edge-1")).Diagnostics
	}
	expectError(t, plan(object{}), "Give the CA of the agent as ca_cert")
	for _, diagnostic := range plan(object{"ca_cert": authority, "token": "s3cret"}) {
		t.Errorf("%s: %s", diagnostic.Summary, diagnostic.Detail)
	}
	if token != "Bearer s3cret" {
		t.Errorf("the agent saw the token %q", token)
	}
}

func TestASecretIsNeverToldInADiagnostic(t *testing.T) {
	tf := startTerraform(t)
	secret := strings.Repeat("s3cret", 1000)
	block := tf.value(tf.descriptor.Provider.ValueType(), object{"token": secret})
	answer, err := tf.ValidateProviderConfig(context.Background(), &tfprotov6.ValidateProviderConfigRequest{Config: block})
	tf.must(err)
	expectError(t, answer.Diagnostics, "Invalid token")
	if strings.Contains(answer.Diagnostics[0].Detail, "s3cret") {
		t.Error("the diagnostic tells the token")
	}
}

func attributesOf(tf terraform, name string, value *tfprotov6.DynamicValue) map[string]tftypes.Value {
	tf.Helper()
	var attributes map[string]tftypes.Value
	tf.must(tf.decoded(tf.resource(name).value, value).As(&attributes))
	return attributes
}

func expectError(t *testing.T, diagnostics []*tfprotov6.Diagnostic, sentence string) {
	t.Helper()
	for _, diagnostic := range diagnostics {
		if strings.Contains(diagnostic.Summary+": "+diagnostic.Detail, sentence) {
			return
		}
		t.Logf("%s: %s", diagnostic.Summary, diagnostic.Detail)
	}
	t.Errorf("no diagnostic says %q", sentence)
}
