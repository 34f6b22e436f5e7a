// SPDX-License-Identifier: Apache-2.0
// The provider's process: speaks Terraform's plugin protocol on one side and to the TypeScript core on the other.

package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

const address = "registry.terraform.io/inkev/inkev"

func main() {
	debug := flag.Bool("debug", false, "serve until interrupted and print how Terraform attaches to this process")
	flag.Parse()

	if err := serve(*debug); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(debug bool) error {
	described, err := parseDescriptor(descriptorJSON)
	if err != nil {
		return err
	}
	folder := useOwnTemp()
	beQuietUnread()
	core := newCore(scriptPath(), described.SHA256)
	leave := func() {
		core.stop()
		os.RemoveAll(folder)
	}
	defer leave()

	var options []tf6server.ServeOpt
	if debug {
		options = append(options, tf6server.WithManagedDebug())
	} else {
		go exitEarly(os.Getppid(), leave)
	}
	return tf6server.Serve(address, func() tfprotov6.ProviderServer { return newProvider(described, core) }, options...)
}

// scriptPath is where the package keeps the core: beside this binary, whatever links lead to it.
func scriptPath() string {
	binary, err := os.Executable()
	if err != nil {
		binary = os.Args[0]
	}
	return filepath.Join(filepath.Dir(binary), "core.cjs")
}

// exitEarly ends this process soon after Terraform died without a word, of which SIGKILL leaves no other sign, or at SIGTERM.
func exitEarly(parent int, leave func()) {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	for os.Getppid() == parent {
		select {
		case <-terminated:
			parent = 0
		case <-time.After(200 * time.Millisecond):
		}
	}
	leave()
	os.Exit(1)
}

// useOwnTemp points TMPDIR at a new folder for the plugin's socket, so that whoever leaves early can remove it; elsewhere where the usual place is
// read-only. It answers that folder, or "" where there is no place at all.
func useOwnTemp() string {
	for _, dir := range []string{os.TempDir(), os.Getenv("XDG_RUNTIME_DIR"), "/run", "/dev/shm", "/var/tmp", "."} {
		if dir == "" {
			continue
		}
		if folder, err := os.MkdirTemp(dir, "inkev"); err == nil {
			os.Setenv("TMPDIR", folder)
			return folder
		}
	}
	return ""
}

// beQuietUnread keeps the plugin library from writing a log of every call, which Terraform would parse and drop, where nobody asked for one.
func beQuietUnread() {
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "TF_LOG") {
			return
		}
	}
	os.Setenv("TF_LOG_SDK", "off")
	os.Setenv("TF_LOG_SDK_PROTO", "off")
}
