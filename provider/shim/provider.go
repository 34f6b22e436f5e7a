// SPDX-License-Identifier: Apache-2.0
// The provider as Terraform's protocol sees it: schema calls answered from the descriptor, all others handed to the core. It knows no resource by name.

package main

import (
	"context"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

type provider struct {
	unsupported
	descriptor *descriptor
	core       *core
}

var (
	_ tfprotov6.ProviderServer                 = (*provider)(nil)
	_ tfprotov6.ProviderServerWithListResource = (*provider)(nil)
	_ tfprotov6.ProviderServerWithActions      = (*provider)(nil)
)

var capabilities = &tfprotov6.ServerCapabilities{GetProviderSchemaOptional: true, PlanDestroy: true}

func newProvider(descriptor *descriptor, core *core) *provider {
	return &provider{descriptor: descriptor, core: core}
}

func (p *provider) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	metadata := &tfprotov6.GetMetadataResponse{ServerCapabilities: capabilities}
	for name := range p.descriptor.Resources {
		metadata.Resources = append(metadata.Resources, tfprotov6.ResourceMetadata{TypeName: name})
	}
	for name := range p.descriptor.DataSources {
		metadata.DataSources = append(metadata.DataSources, tfprotov6.DataSourceMetadata{TypeName: name})
	}
	return metadata, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	resources := map[string]*tfprotov6.Schema{}
	for name, resource := range p.descriptor.Resources {
		resources[name] = resource.Schema
	}
	return &tfprotov6.GetProviderSchemaResponse{
		ServerCapabilities: capabilities,
		Provider:           p.descriptor.Provider,
		ResourceSchemas:    resources,
		DataSourceSchemas:  p.descriptor.DataSources,
	}, nil
}

func (p *provider) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	identities := map[string]*tfprotov6.ResourceIdentitySchema{}
	for name, resource := range p.descriptor.Resources {
		identities[name] = resource.Identity
	}
	return &tfprotov6.GetResourceIdentitySchemasResponse{IdentitySchemas: identities}, nil
}

func (p *provider) ValidateProviderConfig(ctx context.Context, req *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	_, diagnostics := p.ask(ctx, "ValidateProvider", p.itself(), question{Config: req.Config})
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: req.Config, Diagnostics: diagnostics}, nil
}

func (p *provider) ConfigureProvider(ctx context.Context, req *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	_, diagnostics := p.ask(ctx, "Configure", p.itself(), question{Config: req.Config})
	return &tfprotov6.ConfigureProviderResponse{Diagnostics: diagnostics}, nil
}

// StopProvider needs do nothing: the contexts of all calls are cancelled next, and each cancelled call tells the core.
func (p *provider) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceConfig(ctx context.Context, req *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	_, diagnostics := p.ask(ctx, "Validate", p.resource(req.TypeName), question{Config: req.Config})
	return &tfprotov6.ValidateResourceConfigResponse{Diagnostics: diagnostics}, nil
}

// UpgradeResourceState is asked of every object of every plan, so it is answered here: see inShape.
func (p *provider) UpgradeResourceState(_ context.Context, req *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	resource := p.resource(req.TypeName)
	if resource == nil {
		return &tfprotov6.UpgradeResourceStateResponse{Diagnostics: failed(errUnknownType)}, nil
	}
	state, err := inShape(req.RawState, resource.value)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: state, Diagnostics: failed(err)}, nil
}

func (p *provider) UpgradeResourceIdentity(_ context.Context, req *tfprotov6.UpgradeResourceIdentityRequest) (*tfprotov6.UpgradeResourceIdentityResponse, error) {
	resource := p.resource(req.TypeName)
	if resource == nil {
		return &tfprotov6.UpgradeResourceIdentityResponse{Diagnostics: failed(errUnknownType)}, nil
	}
	identity, err := inShape(req.RawIdentity, resource.identity)
	return &tfprotov6.UpgradeResourceIdentityResponse{UpgradedIdentity: &tfprotov6.ResourceIdentityData{IdentityData: identity}, Diagnostics: failed(err)}, nil
}

func (p *provider) ReadResource(ctx context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	answer, diagnostics := p.ask(ctx, "Read", p.resource(req.TypeName), question{Prior: req.CurrentState, Identity: req.CurrentIdentity, Private: req.Private})
	if !answer.Given {
		answer = reply{State: req.CurrentState, Identity: req.CurrentIdentity, Private: req.Private}
	}
	return &tfprotov6.ReadResourceResponse{NewState: answer.State, NewIdentity: answer.Identity, Private: answer.Private, Diagnostics: diagnostics}, nil
}

func (p *provider) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	answer, diagnostics := p.ask(ctx, "Plan", p.resource(req.TypeName), question{
		Config: req.Config, Prior: req.PriorState, Proposed: req.ProposedNewState, Identity: req.PriorIdentity, Private: req.PriorPrivate,
	})
	if !answer.Given {
		answer = reply{State: req.PriorState, Identity: req.PriorIdentity, Private: req.PriorPrivate}
	}
	return &tfprotov6.PlanResourceChangeResponse{
		PlannedState: answer.State, PlannedIdentity: answer.Identity, PlannedPrivate: answer.Private, RequiresReplace: answer.Replace, Diagnostics: diagnostics,
	}, nil
}

func (p *provider) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	resource := p.resource(req.TypeName)
	answer, diagnostics := p.ask(ctx, "Apply", resource, question{
		Config: req.Config, Prior: req.PriorState, Planned: req.PlannedState, Identity: req.PlannedIdentity, Private: req.PlannedPrivate,
	})
	if !answer.Given {
		answer = reply{State: resource.presumedState(req), Identity: req.PlannedIdentity, Private: req.PlannedPrivate}
	}
	return &tfprotov6.ApplyResourceChangeResponse{NewState: answer.State, NewIdentity: answer.Identity, Private: answer.Private, Diagnostics: diagnostics}, nil
}

func (p *provider) ImportResourceState(ctx context.Context, req *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	answer, diagnostics := p.ask(ctx, "Import", p.resource(req.TypeName), question{ID: req.ID, Identity: req.Identity})
	imported := &tfprotov6.ImportResourceStateResponse{Diagnostics: diagnostics}
	if answer.State != nil {
		imported.ImportedResources = []*tfprotov6.ImportedResource{{TypeName: req.TypeName, State: answer.State, Identity: answer.Identity, Private: answer.Private}}
	}
	return imported, nil
}

func (p *provider) ValidateDataResourceConfig(ctx context.Context, req *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	_, diagnostics := p.ask(ctx, "ValidateData", p.dataSource(req.TypeName), question{Config: req.Config})
	return &tfprotov6.ValidateDataResourceConfigResponse{Diagnostics: diagnostics}, nil
}

func (p *provider) ReadDataSource(ctx context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	answer, diagnostics := p.ask(ctx, "ReadData", p.dataSource(req.TypeName), question{Config: req.Config})
	return &tfprotov6.ReadDataSourceResponse{State: answer.State, Diagnostics: diagnostics}, nil
}
