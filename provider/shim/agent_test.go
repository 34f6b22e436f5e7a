// SPDX-License-Identifier: Apache-2.0
// An agent for the tests: the REST contract over memory, on a unix socket, with knobs for what can go wrong.

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

type object = map[string]any

type testAgent struct {
	name    string
	socket  string
	mutex   sync.Mutex
	objects map[string]object
	// refuse answers an error for a path, before anything is stored.
	refuse func(method, path string) (status int, body object)
	// wrote is called after each write has been stored, before its answer is sent.
	wrote func(method, path string)
	asked []string
}

func startAgent(t *testing.T, name string) *testAgent {
	t.Helper()
	agent := &testAgent{name: name, socket: filepath.Join(t.TempDir(), "agent.sock"), objects: map[string]object{}}
	listener, err := net.Listen("unix", agent.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: agent}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return agent
}

func (a *testAgent) endpoint() string { return "unix://" + a.socket }

func (a *testAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	var body any
	json.NewDecoder(r.Body).Decode(&body)
	if path == "bulk" {
		answers := []object{}
		for _, operation := range body.([]any) {
			o := operation.(object)
			status, answer, _ := a.answer(o["method"].(string), fmt.Sprintf("%s/%s", o["resource"], o["name"]), o["body"], http.Header{})
			answers = append(answers, object{"status": status, "body": answer})
		}
		respond(w, 200, answers, "")
		return
	}
	status, answer, etag := a.answer(r.Method, path, body, r.Header)
	respond(w, status, answer, etag)
}

func respond(w http.ResponseWriter, status int, body any, etag string) {
	w.Header().Set("content-type", "application/json")
	if etag != "" {
		w.Header().Set("etag", etag)
	}
	w.WriteHeader(status)
	if body != nil {
		json.NewEncoder(w).Encode(body)
	}
}

func (a *testAgent) answer(method, path string, body any, header http.Header) (int, any, string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.asked = append(a.asked, method+" "+path)
	if a.refuse != nil {
		if status, refusal := a.refuse(method, path); status != 0 {
			return status, object{"error": refusal}, ""
		}
	}
	if path == "host" {
		return 200, object{
			"name": a.name, "vtep": "192.0.2." + a.name[len(a.name)-1:], "uplink": "uplink", "mtu": 1500, "version": "test",
			"api": 1, "kernel": "test", "features": object{"tcx": true}, "kinds": []string{},
		}, ""
	}
	if !strings.Contains(path, "/") {
		items := []object{}
		for key, stored := range a.objects {
			if strings.HasPrefix(key, path+"/") {
				item := object{"name": strings.TrimPrefix(key, path+"/"), "etag": tagOf(stored)}
				for field, value := range a.computed(key, stored) {
					item[field] = value
				}
				items = append(items, item)
			}
		}
		return 200, object{"items": items}, ""
	}
	return a.answerOne(method, path, body, header)
}

func (a *testAgent) answerOne(method, path string, body any, header http.Header) (int, any, string) {
	stored, exists := a.objects[path]
	switch method {
	case "PUT":
		tag := header.Get("if-match")
		if (tag != "" && (!exists || tag != tagOf(stored))) || (header.Get("if-none-match") == "*" && exists) {
			return 412, object{"error": object{"code": "INKEV_ERR_PRECONDITION", "message": "not as expected"}}, ""
		}
		stored = body.(object)
		a.objects[path] = stored
	case "DELETE":
		delete(a.objects, path)
	}
	if method != "GET" && a.wrote != nil {
		a.wrote(method, path)
	}
	if method != "PUT" && !exists {
		return 404, object{"error": object{"code": "INKEV_ERR_NOT_FOUND", "message": path + " is not there"}}, ""
	}
	if method == "DELETE" {
		return 204, nil, ""
	}
	return 200, a.computed(path, stored), tagOf(stored)
}

// computed is the object with the values that an agent adds.
func (a *testAgent) computed(path string, stored object) object {
	answer := object{"name": path[strings.Index(path, "/")+1:], "status": object{"state": "idle"}}
	for field, value := range stored {
		answer[field] = value
	}
	switch path[:strings.Index(path, "/")] {
	case "networks":
		setDefault(answer, "mtu", 1450)
		subnets := object{}
		for key, subnet := range stored["subnets"].(object) {
			copied := object{"gateway": "10.0.1.1"}
			for field, value := range subnet.(object) {
				copied[field] = value
			}
			subnets[key] = copied
		}
		answer["subnets"] = subnets
	case "ports":
		setDefault(answer, "mtu", 1450)
		setDefault(answer, "mac", "02:00:00:00:00:07")
	}
	return answer
}

func setDefault(target object, field string, value any) {
	if target[field] == nil {
		target[field] = value
	}
}

func tagOf(stored object) string {
	text, _ := json.Marshal(stored)
	return fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(text))[:12])
}

func (a *testAgent) stored(path string) object {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.objects[path]
}

func (a *testAgent) remove(path string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	delete(a.objects, path)
}

func (a *testAgent) count(call string) (n int) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, asked := range a.asked {
		if asked == call {
			n++
		}
	}
	return n
}
