// SPDX-License-Identifier: Apache-2.0
// The messages between this process and the core: JSON over gRPC. One request and one response shape serve all methods; a method uses the fields it needs.

package main

import (
	"bytes"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type request struct {
	// Call names this request, so that a later Cancel can mean it.
	Call     uint64          `json:"call"`
	Method   string          `json:"method"`
	Type     string          `json:"type,omitempty"`
	Config   *wireValue      `json:"config,omitempty"`
	Prior    *wireValue      `json:"prior,omitempty"`
	Proposed *wireValue      `json:"proposed,omitempty"`
	Planned  *wireValue      `json:"planned,omitempty"`
	Identity *wireValue      `json:"identity,omitempty"`
	Private  json.RawMessage `json:"private,omitempty"`
	// ID is what the user gave to `terraform import`.
	ID string `json:"id,omitempty"`
}

type response struct {
	// Call is the request's. Error is the trace of a method that failed in a way it should not.
	Call        uint64           `json:"call"`
	Error       string           `json:"error"`
	SHA256      string           `json:"sha256"`
	State       *wireValue       `json:"state"`
	Identity    *wireValue       `json:"identity"`
	Private     json.RawMessage  `json:"private"`
	Replace     [][]wireStep     `json:"replace"`
	Diagnostics []wireDiagnostic `json:"diagnostics"`
}

type wireDiagnostic struct {
	Severity string     `json:"severity"`
	Summary  string     `json:"summary"`
	Detail   string     `json:"detail"`
	Path     []wireStep `json:"path"`
}

// wireStep is one step of an attribute path: exactly one field is set.
type wireStep struct {
	Attribute *string `json:"attribute"`
	Key       *string `json:"key"`
	Index     *int64  `json:"index"`
}

func toPath(steps []wireStep) *tftypes.AttributePath {
	path := tftypes.NewAttributePath()
	for _, step := range steps {
		switch {
		case step.Attribute != nil:
			path = path.WithAttributeName(*step.Attribute)
		case step.Key != nil:
			path = path.WithElementKeyString(*step.Key)
		case step.Index != nil:
			path = path.WithElementKeyInt(int(*step.Index))
		}
	}
	return path
}

func toDiagnostics(wire []wireDiagnostic) []*tfprotov6.Diagnostic {
	diagnostics := make([]*tfprotov6.Diagnostic, 0, len(wire))
	for _, one := range wire {
		diagnostic := &tfprotov6.Diagnostic{Severity: tfprotov6.DiagnosticSeverityError, Summary: one.Summary, Detail: one.Detail}
		if one.Severity == "warning" {
			diagnostic.Severity = tfprotov6.DiagnosticSeverityWarning
		}
		if len(one.Path) > 0 {
			diagnostic.Attribute = toPath(one.Path)
		}
		diagnostics = append(diagnostics, diagnostic)
	}
	return diagnostics
}

// jsonCodec carries messages as JSON, numbers unrounded.
type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Marshal(message any) ([]byte, error) { return json.Marshal(message) }

func (jsonCodec) Unmarshal(text []byte, message any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(message)
}
