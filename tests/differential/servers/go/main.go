// The official Go SDK as a server that records what it executes (see ../README.md).
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type fixture struct {
	Named struct {
		Names []string `json:"names"`
		URIs  []string `json:"uris"`
	} `json:"named"`
	Members       map[string]string `json:"members"`
	WithArguments []string          `json:"with_arguments"`
}

// recorder is the record channel: a file that each line reaches before the execution ends.
type recorder struct {
	mutex   sync.Mutex
	file    *os.File
	fixture fixture
}

// write records one execution; arguments is nil where they were not looked at.
func (r *recorder) write(header http.Header, method string, names []string, arguments json.RawMessage) {
	message := header.Get("X-Message")
	if message == "" {
		message = "?"
	}
	line, err := json.Marshal([]any{message, method, names, arguments})
	if err != nil {
		log.Fatal(err)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if _, err := r.file.Write(append(line, '\n')); err != nil {
		log.Fatal(err)
	}
}

// exact records every request as the SDK hands it to the server's methods.
func (r *recorder) exact(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
		written, err := json.Marshal(request.GetParams())
		if err != nil {
			log.Fatal(err)
		}
		var params map[string]json.RawMessage
		if err := json.Unmarshal(written, &params); err != nil {
			log.Fatal(err)
		}
		var arguments json.RawMessage
		if slices.Contains(r.fixture.WithArguments, method) {
			arguments = params["arguments"]
			if len(arguments) == 0 || string(arguments) == "null" {
				arguments = json.RawMessage("{}")
			}
		}
		r.write(request.GetExtra().Header, method, r.names(method, params), arguments)
		return next(ctx, method, request)
	}
}

// names are what the parameters of a method name.
func (r *recorder) names(method string, params map[string]json.RawMessage) []string {
	switch member := r.fixture.Members[method]; member {
	case "":
		return []string{}
	case "ref":
		var ref struct{ Type, Name, URI string }
		decode(params[member], &ref)
		if ref.Type == "ref/prompt" {
			return []string{ref.Name}
		}
		return []string{ref.URI}
	case "notifications":
		var listened struct{ ResourceSubscriptions, TaskIDs []string }
		decode(params[member], &listened)
		return append(append([]string{}, listened.ResourceSubscriptions...), listened.TaskIDs...)
	default:
		var name string
		decode(params[member], &name)
		return []string{name}
	}
}

func decode(text json.RawMessage, value any) {
	if len(text) == 0 {
		return
	}
	if err := json.Unmarshal(text, value); err != nil {
		log.Fatal(err)
	}
}

func exactServer(r *recorder) *mcp.Server {
	accept := func(context.Context, *mcp.SubscribeRequest) error { return nil }
	server := mcp.NewServer(&mcp.Implementation{Name: "exact", Version: "1"}, &mcp.ServerOptions{
		SubscribeHandler:   accept,
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
		CompletionHandler: func(context.Context, *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{}}}, nil
		},
	})
	server.AddReceivingMiddleware(r.exact)
	return server
}

// namedServer has the things of the fixture, and records which of them was carried out.
func namedServer(r *recorder) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "named", Version: "1"}, nil)
	for _, name := range r.fixture.Named.Names {
		server.AddTool(
			&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(_ context.Context, request *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				r.write(request.Extra.Header, "tools/call", []string{name}, nil)
				return &mcp.CallToolResult{Content: []mcp.Content{}}, nil
			})
		server.AddPrompt(
			&mcp.Prompt{Name: name},
			func(_ context.Context, request *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				r.write(request.Extra.Header, "prompts/get", []string{name}, nil)
				return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{}}, nil
			})
	}
	for _, uri := range r.fixture.Named.URIs {
		server.AddResource(
			&mcp.Resource{Name: uri, URI: uri},
			func(_ context.Context, request *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				r.write(request.Extra.Header, "resources/read", []string{uri}, nil)
				return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{}}, nil
			})
	}
	return server
}

func main() {
	port := flag.Int("port", 0, "")
	record := flag.String("record", "", "")
	fixturePath := flag.String("fixture", "", "")
	flag.Parse()
	file, err := os.OpenFile(*record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(*fixturePath)
	if err != nil {
		log.Fatal(err)
	}
	r := &recorder{file: file}
	if err := json.Unmarshal(text, &r.fixture); err != nil {
		log.Fatal(err)
	}
	options := &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}
	mux := http.NewServeMux()
	for path, server := range map[string]*mcp.Server{"/exact": exactServer(r), "/named": namedServer(r)} {
		mux.Handle(path, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options))
	}
	log.Fatal(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", *port), mux))
}
