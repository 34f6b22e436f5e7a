// SPDX-License-Identifier: Apache-2.0
// The core's keeper: starts the TypeScript core at the first call that needs it, speaks gRPC to it, and sees that it never outlives this process.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// startLimit bounds the time from starting Node to the core's first answer.
	startLimit = 20 * time.Second
	// cancelLimit bounds how long a cancelled call may take to say what it had done so far.
	cancelLimit = 10 * time.Second
	// exitLimit bounds how long the core may take to end by itself once its lifeline is cut.
	exitLimit = time.Second
	// messageLimit is the largest message either way, as Terraform's own.
	messageLimit = 256 << 20
)

// core is the TypeScript half of the provider. It is started once; when it dies, every later call fails and says so.
type core struct {
	script  string
	sha256  string
	calls   atomic.Uint64
	once    sync.Once
	err     error
	mutex   sync.Mutex
	process *process
	stopped bool

	// stream carries all calls; sending is held by who sends.
	stream  grpc.ClientStream
	sending sync.Mutex
	// waiting holds a chan *response for each call under way.
	waiting sync.Map
	// ended is closed when no more answers come, for the reason lost.
	ended chan struct{}
	lost  error
}

// process is one running Node: its lifeline is the write end of its standard input, and to close it is to ask it to exit.
type process struct {
	command  *exec.Cmd
	lifeline io.Closer
	exited   chan struct{}
	lastWord lastLines
}

func newCore(script, sha256 string) *core {
	return &core{script: script, sha256: sha256, ended: make(chan struct{})}
}

// call asks the core. A cancelled context is told to the core, which then answers what it had done until then.
func (c *core) call(ctx context.Context, method string, in request) (*response, error) {
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	in.Call, in.Method = c.calls.Add(1), method
	patient, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(cancelLimit, giveUp)
		c.send(request{Call: in.Call, Method: "Cancel"})
	})()

	out, err := c.exchange(patient, in)
	if err != nil {
		return nil, c.explain(method, err)
	}
	return out, nil
}

// exchange sends a request and waits for its answer, for as long as the context lasts.
func (c *core) exchange(ctx context.Context, in request) (*response, error) {
	answered := make(chan *response, 1)
	c.waiting.Store(in.Call, answered)
	defer c.waiting.Delete(in.Call)
	if err := c.send(in); err != nil {
		return nil, err
	}
	select {
	case out := <-answered:
		if out.Error != "" {
			return nil, errors.New(out.Error)
		}
		return out, nil
	case <-c.ended:
		return nil, c.lost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *core) send(in request) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.stream.SendMsg(in)
}

// listen hands each answer to the call that waits for it.
func (c *core) listen() {
	defer close(c.ended)
	for {
		out := new(response)
		if c.lost = c.stream.RecvMsg(out); c.lost != nil {
			return
		}
		if answered, waits := c.waiting.LoadAndDelete(out.Call); waits {
			answered.(chan *response) <- out
		}
	}
}

// explain says why a call failed: the core's last words where it died, else the error itself.
func (c *core) explain(method string, err error) error {
	if c.process == nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case <-c.process.exited:
		return fmt.Errorf("the provider core ended during %s (%s)%s", method, c.process.command.ProcessState, c.process.lastWord.text())
	case <-time.After(200 * time.Millisecond):
		return fmt.Errorf("%s: %w", method, err)
	}
}

func (c *core) start(ctx context.Context) error {
	c.once.Do(func() { c.err = c.connect(context.WithoutCancel(ctx)) })
	return c.err
}

// connect joins a core that a developer runs (INKEV_CORE_SOCKET), or starts one on a socket that only the two share.
func (c *core) connect(ctx context.Context) error {
	socket, err := c.dial(ctx)
	if err != nil {
		return err
	}
	if c.stream, err = converseOver(ctx, socket); err != nil {
		return c.explain("start", err)
	}
	go c.listen()
	return c.greet(ctx)
}

func (c *core) dial(ctx context.Context) (net.Conn, error) {
	if path := os.Getenv("INKEV_CORE_SOCKET"); path != "" {
		return net.Dial("unix", path)
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.stopped {
		return nil, errors.New("the provider is shutting down")
	}
	var socket net.Conn
	var err error
	c.process, socket, err = startProcess(ctx, c.script)
	return socket, err
}

// greet waits for the core's first answer, and refuses a core of other sources than this binary.
func (c *core) greet(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	answer, err := c.exchange(limited, request{Method: "Handshake"})
	if err != nil {
		return c.explain("start", err)
	}
	if answer.SHA256 != c.sha256 {
		return fmt.Errorf("%s was built from other sources than this provider binary: install both from one release, or build both again", c.script)
	}
	return nil
}

func (c *core) stop() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.stopped = true
	if c.process != nil {
		c.process.stop()
	}
}

// converseOver opens the stream. It ends with the connection, which is the core's.
func converseOver(ctx context.Context, socket net.Conn) (grpc.ClientStream, error) {
	conn, err := grpcOver(socket)
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/inkev.provider.Core/Converse")
}

func grpcOver(socket net.Conn) (*grpc.ClientConn, error) {
	unused := make(chan net.Conn, 1)
	unused <- socket
	return grpc.NewClient("passthrough:///core",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(jsonCodec{}), grpc.MaxCallRecvMsgSize(messageLimit), grpc.MaxCallSendMsgSize(messageLimit)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			select {
			case conn := <-unused:
				return conn, nil
			default:
				return nil, errors.New("the connection to the provider core is closed")
			}
		}))
}

// startProcess runs Node in a process group of its own, so that Ctrl-C does not reach it, with pipes of its own, so that it never holds
// Terraform's, and with its end of a socket pair as descriptor 3.
func startProcess(ctx context.Context, script string) (*process, net.Conn, error) {
	node, err := findNode()
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(script); err != nil {
		return nil, nil, fmt.Errorf("the provider is not completely installed: %w", err)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	logReader, logWriter, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer logWriter.Close()

	command := exec.Command(node, script)
	command.Env = coreEnvironment(os.Environ())
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Stdout, command.Stderr = logWriter, logWriter
	command.ExtraFiles = []*os.File{theirs}
	lifeline, err := command.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := command.Start(); err != nil {
		return nil, nil, fmt.Errorf("cannot start Node.js: %w", err)
	}
	started := &process{command: command, lifeline: lifeline, exited: make(chan struct{})}
	go started.follow(ctx, logReader)
	return started, ours, nil
}

// follow passes the core's log on until the core has closed it, then notes its end.
func (p *process) follow(ctx context.Context, log io.ReadCloser) {
	defer log.Close()
	reader := bufio.NewReader(log)
	for {
		line, err := reader.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.relay(ctx, line)
		}
		if err != nil {
			break
		}
	}
	p.command.Wait()
	close(p.exited)
}

// relay logs one line of the core: NDJSON with level and message, or plain text where Node itself speaks.
func (p *process) relay(ctx context.Context, line string) {
	fields := map[string]any{}
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		p.lastWord.add(line)
		tflog.Error(ctx, line)
		return
	}
	level, _ := fields["level"].(string)
	message, _ := fields["message"].(string)
	for name := range fields {
		// Terraform crashes on an @-field of its own log that is not a string.
		if name == "level" || name == "message" || strings.HasPrefix(name, "@") {
			delete(fields, name)
		}
	}
	log := map[string]func(context.Context, string, ...map[string]any){"trace": tflog.Trace, "debug": tflog.Debug, "warn": tflog.Warn, "error": tflog.Error}[level]
	if log == nil {
		log = tflog.Info
	}
	log(ctx, message, fields)
}

// stop cuts the lifeline, and kills the whole group where that alone does not end it in time.
func (p *process) stop() {
	p.lifeline.Close()
	select {
	case <-p.exited:
	case <-time.After(exitLimit):
		syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
		<-p.exited
	}
}

// findNode is INKEV_NODE, else the Node of the package, else that of the PATH.
func findNode() (string, error) {
	if node := os.Getenv("INKEV_NODE"); node != "" {
		return node, nil
	}
	if binary, err := os.Executable(); err == nil {
		packaged := filepath.Join(filepath.Dir(binary), "node")
		if _, err := os.Stat(packaged); err == nil {
			return packaged, nil
		}
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return "", errors.New("the inkev provider runs on Node.js 20.19 or later, and there is none in the PATH: install it, or set INKEV_NODE to its path")
	}
	return node, nil
}

// coreEnvironment leaves out what is meant for this process alone or would change how Node runs.
func coreEnvironment(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if name != "NODE_OPTIONS" && name != "TF_PLUGIN_MAGIC_COOKIE" && !strings.HasPrefix(name, "PLUGIN_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func socketPair() (net.Conn, *os.File, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "core"), os.NewFile(uintptr(pair[1]), "shim")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	return conn, theirs, err
}

// lastLines keeps the end of what the core wrote as plain text: the trace of what killed it.
type lastLines struct {
	mutex sync.Mutex
	lines []string
}

func (l *lastLines) add(line string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.lines = append(l.lines, line)
	if len(l.lines) > 20 {
		l.lines = l.lines[1:]
	}
}

func (l *lastLines) text() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.lines) == 0 {
		return ""
	}
	return ":\n" + strings.Join(l.lines, "\n")
}
