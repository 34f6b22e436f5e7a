// SPDX-License-Identifier: Apache-2.0
// The descriptor: every schema of the provider, generated from the TypeScript sources and embedded, so that schema calls need no Node.

package main

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

//go:embed descriptor.json
var descriptorJSON []byte

type descriptor struct {
	// SHA256 names the sources of these schemas; the core must report the same.
	SHA256      string
	Provider    *tfprotov6.Schema
	Resources   map[string]*resource
	DataSources map[string]*tfprotov6.Schema
}

type resource struct {
	Schema   *tfprotov6.Schema
	Identity *tfprotov6.ResourceIdentitySchema
}

type descriptorFile struct {
	SHA256      string                      `json:"sha256"`
	Provider    schemaFile                  `json:"provider"`
	Resources   map[string]resourceFile     `json:"resources"`
	DataSources map[string]dataSourceSchema `json:"data_sources"`
}

type resourceFile struct {
	Schema   schemaFile   `json:"schema"`
	Identity identityFile `json:"identity"`
}

type dataSourceSchema struct {
	Schema schemaFile `json:"schema"`
}

type schemaFile struct {
	Version     int64           `json:"version"`
	Description string          `json:"description"`
	Attributes  []attributeFile `json:"attributes"`
}

type attributeFile struct {
	Name        string          `json:"name"`
	Type        json.RawMessage `json:"type"`
	Nested      *nestedFile     `json:"nested"`
	Description string          `json:"description"`
	Required    bool            `json:"required"`
	Optional    bool            `json:"optional"`
	Computed    bool            `json:"computed"`
	Sensitive   bool            `json:"sensitive"`
	WriteOnly   bool            `json:"write_only"`
}

type nestedFile struct {
	Mode       string          `json:"mode"`
	Attributes []attributeFile `json:"attributes"`
}

type identityFile struct {
	Version    int64                   `json:"version"`
	Attributes []identityAttributeFile `json:"attributes"`
}

type identityAttributeFile struct {
	Name        string          `json:"name"`
	Type        json.RawMessage `json:"type"`
	Description string          `json:"description"`
}

func parseDescriptor(text []byte) (*descriptor, error) {
	var file descriptorFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("descriptor.json: %w", err)
	}
	provider, err := file.Provider.schema()
	if err != nil {
		return nil, err
	}
	parsed := &descriptor{SHA256: file.SHA256, Provider: provider, Resources: map[string]*resource{}, DataSources: map[string]*tfprotov6.Schema{}}
	for name, declared := range file.Resources {
		if parsed.Resources[name], err = declared.resource(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, declared := range file.DataSources {
		if parsed.DataSources[name], err = declared.Schema.schema(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return parsed, nil
}

func (file resourceFile) resource() (*resource, error) {
	schema, err := file.Schema.schema()
	if err != nil {
		return nil, err
	}
	identity := &tfprotov6.ResourceIdentitySchema{Version: file.Identity.Version}
	for _, declared := range file.Identity.Attributes {
		valueType, err := parseType(declared.Type)
		if err != nil {
			return nil, err
		}
		identity.IdentityAttributes = append(identity.IdentityAttributes, &tfprotov6.ResourceIdentitySchemaAttribute{
			Name: declared.Name, Type: valueType, Description: declared.Description, RequiredForImport: true,
		})
	}
	return &resource{Schema: schema, Identity: identity}, nil
}

func (file schemaFile) schema() (*tfprotov6.Schema, error) {
	attributes, err := parseAttributes(file.Attributes)
	if err != nil {
		return nil, err
	}
	return &tfprotov6.Schema{Version: file.Version, Block: &tfprotov6.SchemaBlock{
		Version: file.Version, Description: file.Description, DescriptionKind: tfprotov6.StringKindMarkdown, Attributes: attributes,
	}}, nil
}

func parseAttributes(files []attributeFile) ([]*tfprotov6.SchemaAttribute, error) {
	attributes := make([]*tfprotov6.SchemaAttribute, 0, len(files))
	for _, file := range files {
		attribute, err := file.attribute()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name, err)
		}
		attributes = append(attributes, attribute)
	}
	return attributes, nil
}

func (file attributeFile) attribute() (*tfprotov6.SchemaAttribute, error) {
	attribute := &tfprotov6.SchemaAttribute{
		Name: file.Name, Description: file.Description, DescriptionKind: tfprotov6.StringKindMarkdown,
		Required: file.Required, Optional: file.Optional, Computed: file.Computed, Sensitive: file.Sensitive, WriteOnly: file.WriteOnly,
	}
	if file.Nested == nil {
		valueType, err := parseType(file.Type)
		attribute.Type = valueType
		return attribute, err
	}
	mode, known := nestingModes[file.Nested.Mode]
	if !known {
		return nil, fmt.Errorf("unknown nesting %q", file.Nested.Mode)
	}
	attributes, err := parseAttributes(file.Nested.Attributes)
	attribute.NestedType = &tfprotov6.SchemaObject{Nesting: mode, Attributes: attributes}
	return attribute, err
}

var nestingModes = map[string]tfprotov6.SchemaObjectNestingMode{
	"single": tfprotov6.SchemaObjectNestingModeSingle,
	"list":   tfprotov6.SchemaObjectNestingModeList,
	"set":    tfprotov6.SchemaObjectNestingModeSet,
	"map":    tfprotov6.SchemaObjectNestingModeMap,
}

func parseType(text json.RawMessage) (tftypes.Type, error) {
	return tftypes.ParseJSONType(text) //nolint:staticcheck // the only parser of Terraform's type notation
}
