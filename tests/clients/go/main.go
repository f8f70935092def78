// A client in Go that knows the protocol and nothing else: net/http with fixed types, connect-go with code generated
// from the server's .proto files, and a WebSocket library. Each reads as strictly as Go does.
//
//	clients scenarios http://127.0.0.1:9123   runs every scenario, prints one line for each
//	clients decode                            reads lines `message<TAB>JSON`, decodes each as generated code does
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

type scenario struct {
	name string
	run  func(ctx context.Context, url string) error
}

var scenarios = []scenario{
	{"plain", plainScenario},
	{"generated", generatedScenario},
	{"subscription", subscriptionScenario},
	{"polling worker", pollingScenario},
	{"streaming worker", streamingScenario},
	{"socket", socketScenario},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "decode" {
		os.Exit(decode())
	}
	if len(os.Args) != 3 || os.Args[1] != "scenarios" {
		fmt.Fprintln(os.Stderr, "usage: clients scenarios URL | clients decode")
		os.Exit(2)
	}
	failed := 0
	for _, each := range scenarios {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		err := each.run(ctx, os.Args[2])
		cancel()
		if err != nil {
			failed = 1
			fmt.Printf("%s: %v\n", each.name, err)
		} else {
			fmt.Printf("%s: ok\n", each.name)
		}
	}
	os.Exit(failed)
}

// decode prints a line for every message that generated code refuses: unknown fields and enum names are refused too.
func decode() int {
	failed := 0
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), "\t")
		kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
		if err == nil {
			err = protojson.Unmarshal([]byte(text), kind.New().Interface())
		}
		if err != nil {
			failed = 1
			fmt.Printf("%s: %v: %s\n", name, err, text)
		}
	}
	return failed
}

func expect(what string, got, want any) error {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s is %v, not %v", what, got, want)
	}
	return nil
}

func first(faults ...error) error {
	for _, fault := range faults {
		if fault != nil {
			return fault
		}
	}
	return nil
}
