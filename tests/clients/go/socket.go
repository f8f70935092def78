package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// frame is a message of a socket; fields that it does not have are refused.
type frame struct {
	Type     string `json:"type"`
	Key      string `json:"key"`
	Value    string `json:"value"`
	Revision int64  `json:"revision"`
	Op       string `json:"operation"`
	Bucket   string `json:"bucket"`
	Message  string `json:"message"`
	Code     string `json:"code"`
}

func socketScenario(ctx context.Context, url string) error {
	if _, err := call(ctx, "POST", url+"/api/v1/kv/buckets", object{"name": "go"}, &object{}); err != nil {
		return err
	}
	for _, text := range []string{"one", "two"} {
		request, err := http.NewRequestWithContext(ctx, "PUT", url+"/api/v1/kv/buckets/go/keys/user.1", bytes.NewReader([]byte(text)))
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
	}
	found, err := watch(ctx, url, "go")
	if err != nil {
		return err
	}
	value, err := base64.StdEncoding.DecodeString(found.Value)
	if err := first(
		err, expect("the type", found.Type, "kv_update"), expect("the bucket", found.Bucket, "go"),
		expect("the current value", string(value), "two"),
	); err != nil {
		return err
	}
	missing, err := watch(ctx, url, "none")
	if err != nil {
		return err
	}
	return first(
		expect("the type", missing.Type, "error"),
		expect("the message", strings.HasPrefix(missing.Message, "bucket not found"), true),
	)
}

// watch answers the first frame of a watch of a bucket.
func watch(ctx context.Context, url, bucket string) (frame, error) {
	var found frame
	address := "ws" + strings.TrimPrefix(url, "http") + "/api/v1/kv/buckets/" + bucket + "/watch"
	socket, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return found, fmt.Errorf("the socket is refused: %w", err)
	}
	defer socket.CloseNow()
	_, text, err := socket.Read(ctx)
	if err != nil {
		return found, err
	}
	reading := json.NewDecoder(bytes.NewReader(text))
	reading.DisallowUnknownFields()
	return found, reading.Decode(&found)
}
