// What encoding/json makes of arguments, as a tool's handler in Go gets them: one JSON text per line in, one out.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
)

type arguments struct {
	Force   bool     `json:"force"`
	Account int      `json:"account"`
	Quoted  int      `json:"quoted,string"`
	Amount  float64  `json:"amount"`
	Task    string   `json:"task"`
	DryRun  bool     `json:"dryrun"`
	Listed  []int    `json:"listed"`
	Tags    []string `json:"tags"`
	Options struct {
		Disk int `json:"disk"`
	} `json:"options"`
}

// shown is the same with the member as a number.
type shown struct {
	Force   bool     `json:"force"`
	Account int      `json:"account"`
	Quoted  int      `json:"quoted"`
	Amount  float64  `json:"amount"`
	Task    string   `json:"task"`
	DryRun  bool     `json:"dryrun"`
	Listed  []int    `json:"listed"`
	Tags    []string `json:"tags"`
	Options struct {
		Disk int `json:"disk"`
	} `json:"options"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var read arguments
		var written []byte
		err := json.Unmarshal(lines.Bytes(), &read)
		if err == nil {
			written, err = json.Marshal(shown(read))
		}
		if err != nil {
			written = []byte("null")
		}
		if _, err := os.Stdout.Write(append(written, '\n')); err != nil {
			log.Fatal(err)
		}
	}
}
