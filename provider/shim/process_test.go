// SPDX-License-Identifier: Apache-2.0
// The provider as a process: how fast it starts, and that no part of it outlives Terraform, however that ends.

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

// pluginProcess is a provider process, Terraform's connection to it, and the folder that it has for temporary files.
type pluginProcess struct {
	*testing.T
	pid     int
	started time.Time
	conn    *grpc.ClientConn
	temp    string
}

// installed is a folder with the provider as a package holds it, built once for all tests.
var installed = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "inkev-provider")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(folder, "terraform-provider-inkev"), ".")
	if output, err := build.CombinedOutput(); err != nil {
		return folder, fmt.Errorf("%w: %s", err, output)
	}
	script, err := os.ReadFile("../core/dist/core.cjs")
	if err != nil {
		return folder, fmt.Errorf("build the core first, by node provider/build.mjs: %w", err)
	}
	return folder, os.WriteFile(filepath.Join(folder, "core.cjs"), script, 0o600)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, _ := installed(); folder != "" {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// startPlugin starts the provider as Terraform does: by a parent process, a cookie, and a line on standard output. The prefix is a command that
// runs the provider and waits for it; without one this test is the parent.
func startPlugin(t *testing.T, environment []string, prefix ...string) *pluginProcess {
	t.Helper()
	folder, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	command := append(prefix, filepath.Join(folder, "terraform-provider-inkev"))
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2", "PLUGIN_PROTOCOL_VERSIONS=6")
	temp, err := os.MkdirTemp("", "inkev")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	cmd.Env = append(append(cmd.Env, "TMPDIR="+temp), environment...)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	plugin := &pluginProcess{T: t, started: time.Now(), temp: temp}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	plugin.pid = cmd.Process.Pid
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		syscall.Kill(plugin.pid, syscall.SIGKILL)
		cmd.Process.Kill()
		<-ended
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("no handshake: %v", err)
	}
	go io.Copy(io.Discard, output)
	plugin.conn, err = grpc.NewClient("unix:"+strings.Split(line, "|")[3],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{}), grpc.MaxCallRecvMsgSize(messageLimit)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plugin.conn.Close() })
	return plugin
}

// bytesCodec leaves messages as the bytes that they are.
type bytesCodec struct{}

func (bytesCodec) Name() string                             { return "proto" }
func (bytesCodec) Marshal(message any) ([]byte, error)      { return message.([]byte), nil }
func (bytesCodec) Unmarshal(bytes []byte, target any) error { *target.(*[]byte) = bytes; return nil }

// shutDown asks the provider to end, as Terraform does when it is done.
func (p *pluginProcess) shutDown() { p.ask("/plugin.GRPCController/Shutdown", []byte{}) }

// leavesNothing says that nothing is left of what the provider has made.
func (p *pluginProcess) leavesNothing() bool {
	left, err := os.ReadDir(p.temp)
	return err == nil && len(left) == 0
}

func (p *pluginProcess) ask(method string, message []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var answer []byte
	return p.conn.Invoke(ctx, method, message, &answer)
}

func (p *pluginProcess) mustAsk(method string, message []byte) {
	p.Helper()
	if err := p.ask(method, message); err != nil {
		p.Fatal(err)
	}
}

// startCore makes a call that needs the core, and answers the core's process id.
func (p *pluginProcess) startCore() int {
	p.Helper()
	// ValidateProviderConfig with an empty configuration: {config: {json: "{}"}}.
	config := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), `{"hosts":null,"token":null,"ca_cert":null,"client_cert":null,"client_key":null}`)
	p.mustAsk("/tfplugin6.Provider/ValidateProviderConfig", protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), config))
	children := childrenOf(p.pid)
	if len(children) != 1 {
		p.Fatalf("the provider has the children %v", children)
	}
	return children[0]
}

func childrenOf(pid int) (children []int) {
	processes, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range processes {
		stat, _ := os.ReadFile(path)
		text := string(stat)
		var child, parent int
		var status string
		fmt.Sscan(text, &child)
		fmt.Sscan(text[strings.LastIndex(text, ")")+1:], &status, &parent)
		if parent == pid {
			children = append(children, child)
		}
	}
	return children
}

// isGone says that a process has ended; it may still wait for its parent to notice.
func isGone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	text := string(stat)
	return strings.HasPrefix(text[strings.LastIndex(text, ")")+2:], "Z")
}

func TestStartTimes(t *testing.T) {
	plugin := startPlugin(t, nil)
	plugin.mustAsk("/tfplugin6.Provider/GetProviderSchema", []byte{})
	toSchema := time.Since(plugin.started)
	plugin.startCore()
	t.Logf("start to schema %s (target 60 ms), with core %s (target 250 ms)", toSchema.Round(time.Millisecond), time.Since(plugin.started).Round(time.Millisecond))
}

func TestShutdownLeavesNoProcessAndNoFile(t *testing.T) {
	plugin := startPlugin(t, nil)
	core := plugin.startCore()
	plugin.shutDown()
	eventually(t, "shim and core end after Shutdown", func() bool { return isGone(plugin.pid) && isGone(core) && plugin.leavesNothing() })
}

func TestShutdownKillsACoreThatHangs(t *testing.T) {
	plugin := startPlugin(t, nil)
	core := plugin.startCore()
	syscall.Kill(core, syscall.SIGSTOP)
	plugin.shutDown()
	eventually(t, "a stopped core is killed", func() bool { return isGone(plugin.pid) && isGone(core) })
}

func TestTerminationLeavesNoProcessAndNoFile(t *testing.T) {
	plugin := startPlugin(t, nil)
	core := plugin.startCore()
	syscall.Kill(plugin.pid, syscall.SIGTERM)
	eventually(t, "shim and core end at SIGTERM", func() bool { return isGone(plugin.pid) && isGone(core) && plugin.leavesNothing() })
}

func TestAKilledShimLeavesNoCore(t *testing.T) {
	plugin := startPlugin(t, nil)
	core := plugin.startCore()
	syscall.Kill(plugin.pid, syscall.SIGKILL)
	eventually(t, "the core ends with the shim", func() bool { return isGone(core) })
}

func TestAKilledTerraformLeavesNoProviderAndNoFile(t *testing.T) {
	parent := startPlugin(t, nil, "sh", "-c", `"$0" & wait`)
	shim := childrenOf(parent.pid)[0]
	plugin := *parent
	plugin.pid = shim
	core := plugin.startCore()
	syscall.Kill(parent.pid, syscall.SIGKILL)
	eventually(t, "shim and core end with Terraform", func() bool { return isGone(shim) && isGone(core) && plugin.leavesNothing() })
}

func TestCtrlCEndsNeitherShimNorCore(t *testing.T) {
	plugin := startPlugin(t, nil)
	core := plugin.startCore()
	if group, err := syscall.Getpgid(core); err != nil || group != core {
		t.Errorf("the core is in the process group %d", group)
	}
	syscall.Kill(plugin.pid, syscall.SIGINT)
	syscall.Kill(core, syscall.SIGINT)
	time.Sleep(100 * time.Millisecond)
	plugin.startCore()
}

func TestTheCoreHoldsNothingOfTerraforms(t *testing.T) {
	plugin := startPlugin(t, []string{"NODE_OPTIONS=--max-old-space-size=64", "PLUGIN_CLIENT_CERT="})
	core := plugin.startCore()
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", core))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"NODE_OPTIONS", "TF_PLUGIN_MAGIC_COOKIE", "PLUGIN_CLIENT_CERT"} {
		if strings.Contains(string(environment), name+"=") {
			t.Errorf("the core has %s", name)
		}
	}
	for descriptor := range 3 {
		ours, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", plugin.pid, descriptor))
		theirs, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", core, descriptor))
		if ours == theirs || theirs == "" {
			t.Errorf("descriptor %d of the core is %q, as the shim's", descriptor, theirs)
		}
	}
}

func TestTheTemporaryFolderMayBeUnusable(t *testing.T) {
	plugin := startPlugin(t, []string{"TMPDIR=/nonexistent"})
	plugin.startCore()
	plugin.shutDown()
	eventually(t, "the provider ends", func() bool { return isGone(plugin.pid) })
}
