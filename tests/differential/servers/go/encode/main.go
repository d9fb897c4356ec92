// What the encoders of Go write for names: JSON from standard input to standard output.
package main

import (
	"encoding/json"
	"log"
	"net/url"
	"os"
)

func main() {
	var names []string
	if err := json.NewDecoder(os.Stdin).Decode(&names); err != nil {
		log.Fatal(err)
	}
	encoders := map[string]func(string) string{
		"url.PathEscape":  func(name string) string { return "note://h/" + url.PathEscape(name) },
		"url.QueryEscape": func(name string) string { return "search://x?q=" + url.QueryEscape(name) },
		"url.URL":         func(name string) string { return (&url.URL{Scheme: "note", Host: "h", Path: "/" + name}).String() },
		"url.Values": func(name string) string {
			return (&url.URL{Scheme: "search", Host: "x", RawQuery: url.Values{"q": {name}}.Encode()}).String()
		},
		"url.JoinPath": func(name string) string {
			joined, err := url.JoinPath("note://h/", url.PathEscape(name))
			if err != nil {
				log.Fatal(err)
			}
			return joined
		},
	}
	written := map[string][]string{}
	for encoder, encode := range encoders {
		for _, name := range names {
			written[encoder] = append(written[encoder], encode(name))
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(written); err != nil {
		log.Fatal(err)
	}
}
