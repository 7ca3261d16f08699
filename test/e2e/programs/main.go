// An agent's Go program: asks for URL, then posts to it, and prints what it saw as JSON.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
)

type seen struct {
	Status   int             `json:"status"`
	Error    string          `json:"error"`
	Protocol string          `json:"protocol"`
	Body     json.RawMessage `json:"body"`
}

func read(answer *http.Response, err error) seen {
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(err)
	}
	return seen{answer.StatusCode, answer.Header.Get("Alter-Error"), answer.Proto, body}
}

func main() {
	url := os.Args[1]
	answers := []seen{read(http.Get(url)), read(http.Post(url, "text/plain", strings.NewReader("x")))}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}
