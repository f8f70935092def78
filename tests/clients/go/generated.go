package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/types/known/structpb"

	pb "ironflow.test/clients/gen"
	"ironflow.test/clients/gen/genconnect"
)

// overHTTP2 speaks HTTP/2 without TLS, with prior knowledge.
func overHTTP2() *http.Client {
	return &http.Client{Transport: &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
}

func value(given any) *structpb.Value {
	made, err := structpb.NewValue(given)
	if err != nil {
		panic(err)
	}
	return made
}

func generatedScenario(ctx context.Context, url string) error {
	flow := genconnect.NewIronflowServiceClient(http.DefaultClient, url, connect.WithProtoJSON(), connect.WithHTTPGet())
	streams := genconnect.NewEntityStreamServiceClient(http.DefaultClient, url, connect.WithProtoJSON())
	projections := genconnect.NewProjectionServiceClient(http.DefaultClient, url, connect.WithProtoJSON())

	_, err := flow.RegisterFunction(ctx, connect.NewRequest(&pb.RegisterFunctionRequest{
		Id: "go-generated", Triggers: []*pb.Trigger{{Event: "go.generated"}},
		PreferredMode: pb.ExecutionMode_EXECUTION_MODE_PUSH, Debounce: &pb.DebounceConfig{},
	}))
	if err != nil {
		return err
	}
	function, err := flow.GetFunction(ctx, connect.NewRequest(&pb.GetFunctionRequest{Id: "go-generated"}))
	if err != nil {
		return err
	}
	triggered, err := flow.Trigger(ctx, connect.NewRequest(&pb.TriggerRequest{Event: "go.generated", DataValue: value("text")}))
	if err != nil {
		return err
	}
	id := triggered.Msg.RunIds[0]
	run, err := flow.GetRun(ctx, connect.NewRequest(&pb.GetRunRequest{Id: id}))
	if err != nil {
		return err
	}
	if _, err := flow.PauseRun(ctx, connect.NewRequest(&pb.PauseRunRequest{RunId: id})); err != nil {
		return err
	}
	if _, err := flow.GetPausedState(ctx, connect.NewRequest(&pb.GetPausedStateRequest{RunId: id})); err != nil {
		return err
	}
	resumed, err := flow.ResumeRun(ctx, connect.NewRequest(&pb.ResumeRunRequest{RunId: id}))
	if err != nil {
		return err
	}

	_, err = projections.RegisterProjection(ctx, connect.NewRequest(&pb.RegisterProjectionRequest{
		Name: "go-projection", Events: []string{"go.listed"}, Mode: "managed", Version: 1,
	}))
	if err != nil {
		return err
	}
	appended, err := streams.AppendEvent(ctx, connect.NewRequest(&pb.AppendEventRequest{
		EntityId: "go-2", EntityType: "go", EventName: "go.listed", ExpectedVersion: -1,
		DataValue: value([]any{1.0, 2.0}),
	}))
	if err != nil {
		return err
	}
	read, err := streams.ReadStream(ctx, connect.NewRequest(&pb.ReadStreamRequest{EntityId: "go-2"}))
	if err != nil {
		return err
	}
	polled, err := projections.PollProjectionEvents(ctx, connect.NewRequest(&pb.PollProjectionEventsRequest{
		Name: "go-projection", BatchSize: 10,
	}))
	if err != nil {
		return err
	}
	state, err := projections.GetProjection(ctx, connect.NewRequest(&pb.GetProjectionRequest{
		Name: "go-projection", Partition: "nothing yet",
	}))
	if err != nil {
		return err
	}
	_, missing := flow.GetRun(ctx, connect.NewRequest(&pb.GetRunRequest{Id: "run_none"}))
	if len(polled.Msg.Events) != 1 || len(read.Msg.Events) != 1 {
		return fmt.Errorf("%d events polled, %d read, not 1 and 1", len(polled.Msg.Events), len(read.Msg.Events))
	}
	return first(
		expect("the mode", function.Msg.PreferredMode, pb.ExecutionMode_EXECUTION_MODE_PULL),
		expect("the status", run.Msg.Status, pb.RunStatus_RUN_STATUS_WAITING_FOR_CAPACITY),
		expect("the input", run.Msg.InputValue.GetStringValue(), "text"),
		expect("the status after a resume", resumed.Msg.Status, pb.RunStatus_RUN_STATUS_WAITING_FOR_CAPACITY),
		expect("the version", appended.Msg.EntityVersion, 1),
		expect("the event's data", len(read.Msg.Events[0].DataValue.GetListValue().Values), 2),
		expect("the polled event's data", len(polled.Msg.Events[0].DataValue.GetListValue().Values), 2),
		expect("the state", state.Msg.State == nil && state.Msg.StateValue == nil, true),
		expect("the code", connect.CodeOf(missing), connect.CodeNotFound),
	)
}

func subscriptionScenario(ctx context.Context, url string) error {
	pubsub := genconnect.NewPubSubServiceClient(overHTTP2(), url, connect.WithProtoJSON())
	flow := genconnect.NewIronflowServiceClient(http.DefaultClient, url, connect.WithProtoJSON())
	stream, err := pubsub.Subscribe(ctx, connect.NewRequest(&pb.SubscribeRequest{Pattern: "events:go.heard"}))
	if err != nil {
		return err
	}
	defer stream.Close()
	emit := func() error {
		_, err := flow.Trigger(ctx, connect.NewRequest(&pb.TriggerRequest{Event: "go.heard", DataValue: value("text")}))
		return err
	}
	// The server may not have begun when the first event comes; it is emitted until one arrives.
	emitting, stop := context.WithCancel(ctx)
	defer stop()
	faults := make(chan error, 1)
	go func() {
		for emitting.Err() == nil {
			if err := emit(); err != nil {
				faults <- err
				return
			}
			select {
			case <-emitting.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	if !stream.Receive() {
		select {
		case err := <-faults:
			return err
		default:
			return fmt.Errorf("the stream ended: %w", stream.Err())
		}
	}
	return expect("the data", stream.Msg().DataValue.GetStringValue(), "text")
}
