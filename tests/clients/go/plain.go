package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const rpc = "/ironflow.v1."

// runStatus refuses what the generated enum does not have.
type runStatus string

func (s *runStatus) UnmarshalJSON(text []byte) error {
	known := map[string]bool{
		`"RUN_STATUS_RUNNING"`: true, `"RUN_STATUS_COMPLETED"`: true, `"RUN_STATUS_FAILED"`: true,
		`"RUN_STATUS_CANCELLED"`: true, `"RUN_STATUS_PAUSED"`: true, `"RUN_STATUS_WAITING_FOR_CAPACITY"`: true,
		`"RUN_STATUS_WAITING"`: true,
	}
	if !known[string(text)] {
		return fmt.Errorf("%s is no status of a run", text)
	}
	return json.Unmarshal(text, (*string)(s))
}

type plainRun struct {
	ID         string          `json:"id"`
	FunctionID string          `json:"functionId"`
	Status     runStatus       `json:"status"`
	Attempt    int32           `json:"attempt"`
	CreatedAt  time.Time       `json:"createdAt"`
	Output     json.RawMessage `json:"output"`
}

type plainFunction struct {
	Function struct {
		ID            string `json:"id"`
		PreferredMode string `json:"preferredMode"`
		Debounce      *struct {
			PeriodMs  int32 `json:"periodMs"`
			MaxWaitMs int64 `json:"maxWaitMs,string"`
		} `json:"debounce"`
	} `json:"function"`
	Created bool `json:"created"`
}

// call sends what net/http sends by itself: its own User-Agent, no Connect-Protocol-Version.
func call(ctx context.Context, method, url string, body, answer any) (int, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, sent)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || answer == nil || len(text) == 0 {
		return response.StatusCode, err
	}
	if response.StatusCode >= 300 {
		return response.StatusCode, fmt.Errorf("%s %s: %d %s", method, url, response.StatusCode, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return response.StatusCode, fmt.Errorf("%s: %w in %s", url, err, text)
	}
	return response.StatusCode, nil
}

func post(ctx context.Context, url, method string, body, answer any) error {
	_, err := call(ctx, "POST", url+rpc+method, body, answer)
	return err
}

type object = map[string]any

func plainScenario(ctx context.Context, url string) error {
	var registered, pushed plainFunction
	var triggered struct {
		RunIDs []string `json:"runIds"`
	}
	err := first(
		// What a worker sends by default: push, and no endpoint.
		post(ctx, url, "IronflowService/RegisterFunction", object{
			"id": "go-plain", "triggers": []object{{"event": "go.plain"}}, "preferredMode": "EXECUTION_MODE_PUSH",
		}, &registered),
		post(ctx, url, "IronflowService/RegisterFunction", object{
			"id": "go-debounced", "debounce": object{"periodMs": 1000}, "preferredMode": "EXECUTION_MODE_PULL",
		}, &pushed),
		post(ctx, url, "IronflowService/Trigger", object{"event": "go.plain", "data": object{"total": 3}}, &triggered),
	)
	if err != nil {
		return err
	}
	if len(triggered.RunIDs) != 1 {
		return fmt.Errorf("%d runs started, not 1", len(triggered.RunIDs))
	}
	id := triggered.RunIDs[0]
	var run, cancelled plainRun
	var list struct {
		Runs []plainRun `json:"runs"`
	}
	if err := first(
		expect("the mode", registered.Function.PreferredMode, "EXECUTION_MODE_PULL"),
		post(ctx, url, "IronflowService/GetRun", object{"id": id}, &run),
		post(ctx, url, "IronflowService/ListRuns", object{"functionId": "go-plain"}, &list),
		post(ctx, url, "IronflowService/CancelRun", object{"id": id}, &cancelled),
	); err != nil {
		return err
	}
	var streams struct {
		Streams []struct {
			EntityID   string    `json:"entity_id"`
			EventCount int64     `json:"event_count"`
			CreatedAt  time.Time `json:"created_at"`
		} `json:"streams"`
	}
	var history struct {
		Entries []struct {
			EventName     string          `json:"event_name"`
			EventData     json.RawMessage `json:"event_data"`
			EntityVersion int64           `json:"entity_version"`
			Timestamp     time.Time       `json:"timestamp"`
		} `json:"entries"`
	}
	var created struct {
		SnapshotID string `json:"snapshot_id"`
	}
	var snapshot struct {
		SnapshotID    string          `json:"snapshot_id"`
		EntityVersion int64           `json:"entity_version"`
		State         json.RawMessage `json:"state"`
	}
	stream := url + "/api/v1/streams/go-1"
	rest := func(method, url string, body, answer any) error {
		_, err := call(ctx, method, url, body, answer)
		return err
	}
	if err := first(
		post(ctx, url, "EntityStreamService/AppendEvent", object{
			"entityId": "go-1", "entityType": "go", "eventName": "go.appended", "data": []int{1, 2},
			"expectedVersion": -1,
		}, nil),
		rest("GET", url+"/api/v1/streams", nil, &streams),
		rest("GET", stream+"/history", nil, &history),
		rest("POST", stream+"/snapshots", object{"entity_version": 1, "state": object{"n": 1}}, &created),
		rest("GET", stream+"/snapshots", nil, &snapshot),
	); err != nil {
		return err
	}
	if len(streams.Streams) != 1 || len(history.Entries) != 1 {
		return fmt.Errorf("%d streams and %d entries, not 1 and 1", len(streams.Streams), len(history.Entries))
	}
	return first(
		expect("the status", run.Status, "RUN_STATUS_WAITING_FOR_CAPACITY"),
		expect("the runs", len(list.Runs), 1),
		expect("the status after the cancel", cancelled.Status, "RUN_STATUS_CANCELLED"),
		expect("the stream", streams.Streams[0].EntityID, "go-1"),
		expect("the event's data", string(history.Entries[0].EventData), "[1,2]"),
		expect("the snapshot", snapshot.SnapshotID, created.SnapshotID),
		expect("the snapshot's version", snapshot.EntityVersion, 1),
	)
}
