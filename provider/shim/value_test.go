// SPDX-License-Identifier: Apache-2.0
// Values on their way to the core and back.

package main

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

var everyShape = tftypes.Object{AttributeTypes: map[string]tftypes.Type{
	"text":   tftypes.String,
	"number": tftypes.Number,
	"truth":  tftypes.Bool,
	"list":   tftypes.List{ElementType: tftypes.String},
	"set":    tftypes.Set{ElementType: tftypes.String},
	"rows":   tftypes.Map{ElementType: tftypes.Object{AttributeTypes: map[string]tftypes.Type{"cell": tftypes.String}}},
}}

func every(parts map[string]any) tftypes.Value {
	values := map[string]tftypes.Value{}
	for name, valueType := range everyShape.AttributeTypes {
		values[name] = tftypes.NewValue(valueType, parts[name])
	}
	return tftypes.NewValue(everyShape, values)
}

func texts(plain ...any) []tftypes.Value {
	var values []tftypes.Value
	for _, text := range plain {
		values = append(values, tftypes.NewValue(tftypes.String, text))
	}
	return values
}

// overTheWire is the value after it went to the core and back as text.
func overTheWire(t *testing.T, value tftypes.Value) tftypes.Value {
	t.Helper()
	sent, err := toWire(value)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var received wireValue
	if err := (jsonCodec{}).Unmarshal(text, &received); err != nil {
		t.Fatal(err)
	}
	back, err := fromWire(received, value.Type())
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return back
}

func TestValuesComeBackAsTheyWent(t *testing.T) {
	row := everyShape.AttributeTypes["rows"].(tftypes.Map).ElementType
	huge, _, _ := big.ParseFloat("123456789012345678901234567890.5", 10, 512, big.ToNearestEven)
	tenth, _, _ := big.ParseFloat("0.1", 10, 512, big.ToNearestEven)
	for name, value := range map[string]tftypes.Value{
		"null":                        tftypes.NewValue(everyShape, nil),
		"unknown":                     tftypes.NewValue(everyShape, tftypes.UnknownValue),
		"nulls":                       every(nil),
		"whole numbers":               every(map[string]any{"number": 16777215}),
		"numbers beyond a double":     every(map[string]any{"number": huge}),
		"numbers a double cannot say": every(map[string]any{"number": tenth}),
		"known":                       every(map[string]any{"text": "a", "truth": false, "list": texts("b", "a"), "set": texts("a", "b")}),
		"unknown in a list":           every(map[string]any{"list": texts("a", tftypes.UnknownValue)}),
		"empty collections":           every(map[string]any{"list": texts(), "rows": map[string]tftypes.Value{}}),
		"unknown in a row": every(map[string]any{"rows": map[string]tftypes.Value{
			"k": tftypes.NewValue(row, map[string]tftypes.Value{"cell": tftypes.NewValue(tftypes.String, tftypes.UnknownValue)}),
		}}),
	} {
		if back := overTheWire(t, value); !back.Equal(value) {
			t.Errorf("%s: %s came back as %s", name, value, back)
		}
	}
}

func TestAWrongShapeIsToldWithItsPath(t *testing.T) {
	complete := `"text":null,"number":null,"truth":null,"list":null,"set":null`
	for answer, says := range map[string]string{
		`{"value":{` + complete + `,"rows":{"k":{"cell":1}}}}`:                                        `AttributeName("rows").ElementKeyString("k").AttributeName("cell"): expected tftypes.String`,
		`{"value":{` + complete + `}}`:                                                                `AttributeName("rows"): missing attribute`,
		`{"value":{` + complete + `,"rows":null,"more":1}}`:                                           `AttributeName("more"): no such attribute`,
		`{"value":{"list":["a",true],"text":null,"number":null,"truth":null,"set":null,"rows":null}}`: `AttributeName("list").ElementKeyInt(1)`,
	} {
		var wire wireValue
		if err := (jsonCodec{}).Unmarshal([]byte(answer), &wire); err != nil {
			t.Fatal(err)
		}
		if _, err := fromWire(wire, everyShape); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestTheKnownPartOfAValueHasNoUnknown(t *testing.T) {
	known, err := knownPart(every(map[string]any{"text": "a", "number": tftypes.UnknownValue, "list": texts("a", tftypes.UnknownValue)}))
	if err != nil || !known.Equal(every(map[string]any{"text": "a", "list": texts("a", nil)})) {
		t.Errorf("%s, %v", known, err)
	}
}
