// SPDX-License-Identifier: Apache-2.0
// Terraform values as JSON and back: a value and, beside it, a mask that is true wherever the value is not known yet.

package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// wireValue is a Terraform value on its way to or from the core. Sets are arrays. A number that is no exact double is a
// string. The mask has the shape of the value: true where it is unknown, false or absent where all below is known.
type wireValue struct {
	Value   any `json:"value"`
	Unknown any `json:"unknown,omitempty"`
}

func toWire(value tftypes.Value) (wireValue, error) {
	plain, mask, err := split(value)
	return wireValue{Value: plain, Unknown: mask}, err
}

func fromWire(wire wireValue, valueType tftypes.Type) (tftypes.Value, error) {
	return join(wire.Value, wire.Unknown, valueType, tftypes.NewAttributePath())
}

func split(value tftypes.Value) (plain any, mask any, err error) {
	if !value.IsKnown() {
		return nil, true, nil
	}
	if value.IsNull() {
		return nil, nil, nil
	}
	switch valueType := value.Type(); {
	case valueType.Is(tftypes.String):
		return as[string](value)
	case valueType.Is(tftypes.Bool):
		return as[bool](value)
	case valueType.Is(tftypes.Number):
		return splitNumber(value)
	case valueType.Is(tftypes.List{}), valueType.Is(tftypes.Set{}):
		return splitElements(value)
	case valueType.Is(tftypes.Map{}), valueType.Is(tftypes.Object{}):
		return splitMembers(value)
	default:
		return nil, nil, fmt.Errorf("a value of type %s cannot cross to the core", valueType)
	}
}

func as[T any](value tftypes.Value) (any, any, error) {
	var plain T
	err := value.As(&plain)
	return plain, nil, err
}

func splitNumber(value tftypes.Value) (any, any, error) {
	var number big.Float
	if err := value.As(&number); err != nil {
		return nil, nil, err
	}
	double, accuracy := number.Float64()
	if accuracy != big.Exact {
		return number.Text('g', -1), nil, nil
	}
	return json.Number(strconv.FormatFloat(double, 'g', -1, 64)), nil, nil
}

func splitElements(value tftypes.Value) (any, any, error) {
	var elements []tftypes.Value
	if err := value.As(&elements); err != nil {
		return nil, nil, err
	}
	plain, masks, unknown := make([]any, len(elements)), make([]any, len(elements)), false
	for index, element := range elements {
		var err error
		if plain[index], masks[index], err = split(element); err != nil {
			return nil, nil, err
		}
		unknown = unknown || masks[index] != nil
	}
	if !unknown {
		return plain, nil, nil
	}
	return plain, masks, nil
}

func splitMembers(value tftypes.Value) (any, any, error) {
	var members map[string]tftypes.Value
	if err := value.As(&members); err != nil {
		return nil, nil, err
	}
	plain, masks := make(map[string]any, len(members)), map[string]any{}
	for key, member := range members {
		memberPlain, mask, err := split(member)
		if err != nil {
			return nil, nil, err
		}
		plain[key] = memberPlain
		if mask != nil {
			masks[key] = mask
		}
	}
	if len(masks) == 0 {
		return plain, nil, nil
	}
	return plain, masks, nil
}

func join(plain, mask any, valueType tftypes.Type, path *tftypes.AttributePath) (tftypes.Value, error) {
	if mask == true {
		return tftypes.NewValue(valueType, tftypes.UnknownValue), nil
	}
	if plain == nil {
		return tftypes.NewValue(valueType, nil), nil
	}
	switch shape := valueType.(type) {
	case tftypes.List:
		return joinElements(plain, mask, shape, shape.ElementType, path)
	case tftypes.Set:
		return joinElements(plain, mask, shape, shape.ElementType, path)
	case tftypes.Map:
		return joinMap(plain, mask, shape, path)
	case tftypes.Object:
		return joinObject(plain, mask, shape, path)
	}
	return joinScalar(plain, valueType, path)
}

func joinScalar(plain any, valueType tftypes.Type, path *tftypes.AttributePath) (tftypes.Value, error) {
	var ok bool
	switch {
	case valueType.Is(tftypes.String):
		_, ok = plain.(string)
	case valueType.Is(tftypes.Bool):
		_, ok = plain.(bool)
	case valueType.Is(tftypes.Number):
		plain, ok = parseNumber(plain)
	}
	if !ok {
		return tftypes.Value{}, path.NewErrorf("expected %s, got %T", valueType, plain)
	}
	return tftypes.NewValue(valueType, plain), nil
}

func parseNumber(plain any) (*big.Float, bool) {
	var text string
	switch number := plain.(type) {
	case json.Number:
		text = number.String()
	case string:
		text = number
	default:
		return nil, false
	}
	parsed, _, err := big.ParseFloat(text, 10, 512, big.ToNearestEven)
	return parsed, err == nil
}

func joinElements(plain, mask any, valueType, elementType tftypes.Type, path *tftypes.AttributePath) (tftypes.Value, error) {
	elements, ok := plain.([]any)
	if !ok {
		return tftypes.Value{}, path.NewErrorf("expected %s, got %T", valueType, plain)
	}
	masks, _ := mask.([]any)
	joined := make([]tftypes.Value, len(elements))
	for index, element := range elements {
		var elementMask any
		if index < len(masks) {
			elementMask = masks[index]
		}
		var err error
		if joined[index], err = join(element, elementMask, elementType, path.WithElementKeyInt(index)); err != nil {
			return tftypes.Value{}, err
		}
	}
	return tftypes.NewValue(valueType, joined), nil
}

func joinMap(plain, mask any, valueType tftypes.Map, path *tftypes.AttributePath) (tftypes.Value, error) {
	members, ok := plain.(map[string]any)
	if !ok {
		return tftypes.Value{}, path.NewErrorf("expected %s, got %T", valueType, plain)
	}
	masks, _ := mask.(map[string]any)
	joined := make(map[string]tftypes.Value, len(members))
	for key, member := range members {
		var err error
		if joined[key], err = join(member, masks[key], valueType.ElementType, path.WithElementKeyString(key)); err != nil {
			return tftypes.Value{}, err
		}
	}
	return tftypes.NewValue(valueType, joined), nil
}

// joinObject wants every attribute of the type and none beside: the core completes what it answers.
func joinObject(plain, mask any, valueType tftypes.Object, path *tftypes.AttributePath) (tftypes.Value, error) {
	members, ok := plain.(map[string]any)
	if !ok {
		return tftypes.Value{}, path.NewErrorf("expected %s, got %T", valueType, plain)
	}
	for name := range members {
		if _, declared := valueType.AttributeTypes[name]; !declared {
			return tftypes.Value{}, path.WithAttributeName(name).NewErrorf("no such attribute in the schema")
		}
	}
	masks, _ := mask.(map[string]any)
	joined := make(map[string]tftypes.Value, len(valueType.AttributeTypes))
	for name, attributeType := range valueType.AttributeTypes {
		member, present := members[name]
		if !present {
			return tftypes.Value{}, path.WithAttributeName(name).NewErrorf("missing attribute")
		}
		var err error
		if joined[name], err = join(member, masks[name], attributeType, path.WithAttributeName(name)); err != nil {
			return tftypes.Value{}, err
		}
	}
	return tftypes.NewValue(valueType, joined), nil
}

// knownPart is the value with null in the place of all that is unknown.
func knownPart(value tftypes.Value) (tftypes.Value, error) {
	return tftypes.Transform(value, func(_ *tftypes.AttributePath, part tftypes.Value) (tftypes.Value, error) {
		if part.IsKnown() {
			return part, nil
		}
		return tftypes.NewValue(part.Type(), nil), nil
	})
}
