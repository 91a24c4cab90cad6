// Command pod-server is what runs in the pods of the test cluster: plain pages, a validating webhook and an aggregated API, over http and https.
//
//	pod-server -http=:8080 -https=:8443
//
// Its certificate and key are PEM in CERTIFICATE and KEY.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

const apiGroup = "e2e.hawser.test"

// object is JSON.
type object = map[string]any

func main() {
	plain := flag.String("http", ":8080", "address of the plain listener")
	secure := flag.String("https", ":8443", "address of the TLS listener")
	flag.Parse()
	certificate, err := tls.X509KeyPair([]byte(os.Getenv("CERTIFICATE")), []byte(os.Getenv("KEY")))
	if err != nil {
		log.Fatalf("CERTIFICATE and KEY: %v", err)
	}
	handler := pages()
	server := http.Server{Addr: *secure, Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	go func() { log.Fatal(server.ListenAndServeTLS("", "")) }()
	log.Fatal(http.ListenAndServe(*plain, handler))
}

func pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", hello)
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("POST /validate", validate)
	mux.HandleFunc("GET /apis/"+apiGroup+"/v1", resources)
	mux.HandleFunc("GET /apis/"+apiGroup+"/v1/greetings", greetings)
	return mux
}

func hello(w http.ResponseWriter, r *http.Request) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	fmt.Fprintf(w, "hello from %s over %s\n", os.Getenv("POD"), scheme)
}

// echo answers when it has read all, so that it never waits for a client that reads nothing before it has sent all.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if _, err := w.Write(body); err != nil {
		log.Printf("echo: %v", err)
	}
}

// validate refuses objects whose name begins with "refused".
func validate(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Request struct {
			UID  string `json:"uid"`
			Name string `json:"name"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response := object{"uid": review.Request.UID, "allowed": true}
	if strings.HasPrefix(review.Request.Name, "refused") {
		response["allowed"] = false
		response["status"] = object{"message": "refused by the webhook in " + os.Getenv("POD")}
	}
	answer(w, object{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

func resources(w http.ResponseWriter, _ *http.Request) {
	answer(w, object{
		"apiVersion":   "v1",
		"kind":         "APIResourceList",
		"groupVersion": apiGroup + "/v1",
		"resources": []object{
			{"name": "greetings", "singularName": "greeting", "kind": "Greeting", "namespaced": false, "verbs": []string{"list"}},
		},
	})
}

func greetings(w http.ResponseWriter, _ *http.Request) {
	answer(w, object{
		"apiVersion": apiGroup + "/v1",
		"kind":       "GreetingList",
		"metadata":   object{},
		"items": []object{
			{"apiVersion": apiGroup + "/v1", "kind": "Greeting", "metadata": object{"name": "from-" + os.Getenv("POD")}},
		},
	})
}

func answer(w http.ResponseWriter, body object) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("answer: %v", err)
	}
}
