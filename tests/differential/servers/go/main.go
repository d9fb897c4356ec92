// The official Go SDK as a server that records what it executes (see ../README.md).
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/yosida95/uritemplate/v3"
)

type fixture struct {
	Named struct {
		Names []string `json:"names"`
		URIs  []string `json:"uris"`
	} `json:"named"`
	Members       map[string]string `json:"members"`
	WithArguments []string          `json:"with_arguments"`
	Templates     []string          `json:"templates"`
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
			arguments = argumentsOf(method, params)
			if len(arguments) == 0 || string(arguments) == "null" {
				arguments = json.RawMessage("{}")
			}
		}
		r.write(request.GetExtra().Header, method, r.names(method, params), arguments)
		return next(ctx, method, request)
	}
}

// argumentsOf are the arguments of a method; those of a completion are in two places.
func argumentsOf(method string, params map[string]json.RawMessage) json.RawMessage {
	if method != "completion/complete" {
		return params["arguments"]
	}
	var argument struct{ Name, Value string }
	var context struct{ Arguments map[string]string }
	decode(params["argument"], &argument)
	decode(params["context"], &context)
	all := map[string]string{argument.Name: argument.Value}
	for name, value := range context.Arguments {
		if name != argument.Name {
			all[name] = value
		}
	}
	written, err := json.Marshal(all)
	if err != nil {
		log.Fatal(err)
	}
	return written
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

// templatesServer has the templates of the fixture. Handlers are given the URI, and match it themselves.
func templatesServer(r *recorder) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "templates", Version: "1"}, nil)
	for _, text := range r.fixture.Templates {
		template := uritemplate.MustNew(text)
		server.AddResourceTemplate(
			&mcp.ResourceTemplate{Name: text, URITemplate: text},
			func(_ context.Context, request *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				ways, err := json.Marshal(waysToRead(template, request.Params.URI))
				if err != nil {
					log.Fatal(err)
				}
				r.write(request.Extra.Header, "resources/read", []string{text}, ways)
				return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{}}, nil
			})
	}
	return server
}

// waysToRead are the variables of a URI by its template, as they are and decoded once more, and the parts of the URL.
func waysToRead(template *uritemplate.Template, uri string) []map[string]any {
	once, again := map[string]any{}, map[string]any{}
	for name, value := range template.Match(uri) {
		if value.T == uritemplate.ValueTypeList {
			once[name] = value.List()
			continue
		}
		once[name] = value.String()
		if decoded, err := url.PathUnescape(value.String()); err == nil {
			again[name] = decoded
		}
	}
	ways := []map[string]any{once, again}
	if parsed, err := url.Parse(uri); err == nil {
		query := map[string]string{}
		for name := range parsed.Query() {
			query[name] = parsed.Query().Get(name)
		}
		ways = append(ways, map[string]any{"host": parsed.Hostname(), "path": parsed.Path, "query": query})
	}
	return ways
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
	for path, server := range map[string]*mcp.Server{
		"/exact": exactServer(r), "/named": namedServer(r), "/templates": templatesServer(r),
	} {
		mux.Handle(path, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options))
	}
	log.Fatal(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", *port), mux))
}
