// SPDX-License-Identifier: Apache-2.0
// What becomes of the core's log.

package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-log/tflogtest"
)

func TestTheCoresLogIsPassedOnWithItsLevel(t *testing.T) {
	var output bytes.Buffer
	ctx := tflogtest.RootLogger(context.Background(), &output)
	running := &process{}
	running.relay(ctx, `{"level":"warn","message":"slow","host":"edge-1","@level":7,"@timestamp":null}`)
	running.relay(ctx, `    at Object.<anonymous> (core.cjs:1:1)`)

	entries, err := tflogtest.MultilineJSONDecode(&output)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	first := entries[0]
	if first["@level"] != "warn" || first["@message"] != "slow" || first["host"] != "edge-1" {
		t.Errorf("a line of the log became %v", first)
	}
	if entries[1]["@level"] != "error" || running.lastWord.text() != ":\n    at Object.<anonymous> (core.cjs:1:1)" {
		t.Errorf("what Node itself says became %v", entries[1])
	}
}
