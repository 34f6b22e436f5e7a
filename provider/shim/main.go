// SPDX-License-Identifier: Apache-2.0
// The provider's process: speaks Terraform's plugin protocol on one side and to the TypeScript core on the other.

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	useWritableTemp()
	beQuietUnread()
	core := newCore(scriptPath(), described.SHA256)
	defer core.stop()

	var options []tf6server.ServeOpt
	if debug {
		options = append(options, tf6server.WithManagedDebug())
	} else {
		go exitWithParent(os.Getppid(), core)
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

// exitWithParent ends this process soon after Terraform died without a word: SIGKILL leaves no other sign.
func exitWithParent(parent int, core *core) {
	for os.Getppid() == parent {
		time.Sleep(200 * time.Millisecond)
	}
	core.stop()
	os.Exit(1)
}

// useWritableTemp points TMPDIR at a place where the plugin's socket can be made, where the usual one is read-only.
func useWritableTemp() {
	for _, dir := range []string{os.TempDir(), os.Getenv("XDG_RUNTIME_DIR"), "/run", "/dev/shm", "/var/tmp", "."} {
		if dir == "" {
			continue
		}
		probe, err := os.CreateTemp(dir, "inkev")
		if err != nil {
			continue
		}
		probe.Close()
		os.Remove(probe.Name())
		os.Setenv("TMPDIR", dir)
		return
	}
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
