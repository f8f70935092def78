package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "ironflow.test/clients/gen"
	"ironflow.test/clients/gen/genconnect"
)

const nap = 200 * time.Millisecond

// assignment is a job as a polling worker reads it.
type assignment struct {
	JobID string `json:"job_id"`
	RunID string `json:"run_id"`
	Event struct {
		Data      json.RawMessage `json:"data"`
		Timestamp time.Time       `json:"timestamp"`
	} `json:"event"`
	CompletedSteps []struct {
		StepID string          `json:"step_id"`
		Output json.RawMessage `json:"output"`
	} `json:"completed_steps"`
	ExecutionSeq int64  `json:"execution_seq"`
	LeaseToken   string `json:"lease_token"`
}

// started registers a function and starts a run of it.
func started(ctx context.Context, url, function string) (string, error) {
	var triggered struct {
		RunIDs []string `json:"runIds"`
	}
	err := first(
		post(ctx, url, "IronflowService/RegisterFunction", object{
			"id": function, "triggers": []object{{"event": function}}, "preferredMode": "EXECUTION_MODE_PUSH",
		}, nil),
		post(ctx, url, "IronflowService/Trigger", object{"event": function, "data": object{"total": 3}}, &triggered),
	)
	if err != nil || len(triggered.RunIDs) != 1 {
		return "", fmt.Errorf("%d runs of %s started: %w", len(triggered.RunIDs), function, err)
	}
	return triggered.RunIDs[0], nil
}

func completed(ctx context.Context, url, id string) error {
	var run plainRun
	for run.Status != "RUN_STATUS_COMPLETED" {
		if err := post(ctx, url, "IronflowService/GetRun", object{"id": id}, &run); err != nil {
			return err
		}
		if run.Status == "RUN_STATUS_FAILED" || run.Status == "RUN_STATUS_CANCELLED" {
			return fmt.Errorf("the run is %s", run.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the run is %s: %w", run.Status, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return expect("the output", string(run.Output), `{"charged":3}`)
}

// pollingScenario runs a function of one step and a sleep, as a polling worker of runtime go.
func pollingScenario(ctx context.Context, url string) error {
	const function = "go-polled"
	worker := url + "/api/v1/workers/go-polling"
	id, err := started(ctx, url, function)
	if err != nil {
		return err
	}
	register := object{
		"hostname": "h", "function_ids": []string{}, "max_concurrent_jobs": 4, "labels": nil,
		"version": object{"sdk": "0.0.1", "runtime": "go"},
	}
	// A worker that only runs projections lists no functions.
	if _, err := call(ctx, "POST", worker+"/register", register, &object{}); err != nil {
		return err
	}
	register["function_ids"] = []string{function}
	if _, err := call(ctx, "POST", worker+"/register", register, &object{}); err != nil {
		return err
	}
	for executions := 0; executions < 2; {
		var batch struct {
			Jobs []assignment `json:"jobs"`
		}
		status, err := call(ctx, "GET", worker+"/jobs?available=4&wait=5", nil, &batch)
		if err != nil {
			return err
		}
		if status == http.StatusNoContent {
			continue
		}
		for _, job := range batch.Jobs {
			executions++
			if err := execute(ctx, worker, job); err != nil {
				return err
			}
		}
	}
	return completed(ctx, url, id)
}

func execute(ctx context.Context, worker string, job assignment) error {
	fence := func(more object) object {
		more["execution_seq"], more["lease_token"], more["run_id"] = job.ExecutionSeq, job.LeaseToken, job.RunID
		return more
	}
	at := worker + "/jobs/" + job.JobID
	put := func(url string, body object) error {
		_, err := call(ctx, "PUT", url, fence(body), &object{})
		return err
	}
	charge, sleep := job.RunID+":charge:0", job.RunID+":nap:0"
	_, err := call(ctx, "POST", worker+"/heartbeat", object{"active_jobs": 1, "jobs": []object{{"job_id": job.JobID}}}, &object{})
	if err := first(err, put(at+"/ack", object{})); err != nil {
		return err
	}
	if len(job.CompletedSteps) == 0 {
		return first(
			put(at, object{"status": "progress", "step_offset": 0, "steps": []object{
				{"id": charge, "name": "charge", "type": "invoke", "status": "completed", "output": 3},
			}}),
			put(at, object{"status": "yielded", "steps": nil, "yield": object{
				"type": "sleep", "step_id": sleep, "until": time.Now().Add(nap).UTC(),
			}}),
		)
	}
	return first(
		expect("the memo", job.CompletedSteps[0].StepID+" "+string(job.CompletedSteps[0].Output), charge+" 3"),
		expect("the steps of the memo", len(job.CompletedSteps), 2),
		put(at, object{"status": "completed", "output": object{"charged": 3}}),
	)
}

// streamingScenario runs the same function on a stream, drops the stream in between, and is cancelled in a quiet step.
func streamingScenario(ctx context.Context, url string) error {
	const function = "go-streamed"
	id, err := started(ctx, url, function)
	if err != nil {
		return err
	}
	workers := genconnect.NewWorkerServiceClient(overHTTP2(), url)
	connectWorker := func(ctx context.Context, name string) (*connect.BidiStreamForClient[pb.WorkerMessage, pb.EngineMessage], error) {
		stream := workers.Connect(ctx)
		err := stream.Send(&pb.WorkerMessage{Payload: &pb.WorkerMessage_Register{Register: &pb.WorkerRegister{
			WorkerId: name, FunctionIds: []string{function}, MaxConcurrentJobs: 4, Version: &pb.WorkerVersion{Runtime: "go"},
		}}})
		if err != nil {
			return nil, err
		}
		answer, err := stream.Receive()
		if err == nil && answer.GetRegistered() == nil {
			err = fmt.Errorf("%v came before `registered`", answer)
		}
		return stream, err
	}

	// The first worker takes the job and disconnects.
	leaving, leave := context.WithCancel(ctx)
	lost, err := connectWorker(leaving, "go-lost")
	if err != nil {
		leave()
		return fmt.Errorf("the first stream: %w", err)
	}
	if _, err := next(lost); err != nil {
		leave()
		return fmt.Errorf("the job of the first stream: %w", err)
	}
	leave()
	// Only a stream that is read or closed is reset.
	_ = lost.CloseRequest()
	_ = lost.CloseResponse()

	stream, err := connectWorker(ctx, "go-streaming")
	if err != nil {
		return fmt.Errorf("the second stream: %w", err)
	}
	began := time.Now()
	for executions := 0; executions < 2; executions++ {
		job, err := next(stream)
		if err != nil {
			return fmt.Errorf("execution %d: %w", executions, err)
		}
		if err := executeOn(stream, job); err != nil {
			return err
		}
	}
	// Neither the reservation of 30 s nor the lease of 90 s is waited for.
	if took := time.Since(began); took > 15*time.Second {
		return fmt.Errorf("the job of the lost stream came after %v", took)
	}
	if err := completed(ctx, url, id); err != nil {
		return err
	}

	// A run that is cancelled while its step is quiet.
	if id, err = started(ctx, url, function); err != nil {
		return err
	}
	job, err := next(stream)
	if err != nil {
		return fmt.Errorf("the job of the run that is cancelled: %w", err)
	}
	ack := &pb.WorkerMessage{Payload: &pb.WorkerMessage_JobAck{JobAck: &pb.JobAck{
		JobId: job.JobId, ExecutionSeq: job.ExecutionSeq, LeaseToken: job.LeaseToken,
	}}}
	if err := first(
		stream.Send(ack),
		post(ctx, url, "IronflowService/CancelRun", object{"id": id}, &plainRun{}),
	); err != nil {
		return err
	}
	message, err := stream.Receive()
	if err != nil {
		return fmt.Errorf("the cancel: %w", err)
	}
	if err := expect("the cancelled job", message.GetCancel().GetJobId(), job.JobId); err != nil {
		return err
	}
	// It closes its half and waits for the end.
	if err := stream.CloseRequest(); err != nil {
		return err
	}
	if _, err := stream.Receive(); !errors.Is(err, context.Canceled) && connect.CodeOf(err) != connect.CodeUnknown {
		return fmt.Errorf("the stream ended with %w", err)
	}
	return stream.CloseResponse()
}

func next(stream *connect.BidiStreamForClient[pb.WorkerMessage, pb.EngineMessage]) (*pb.JobAssignment, error) {
	message, err := stream.Receive()
	if err != nil {
		return nil, err
	}
	if message.GetJob() == nil {
		return nil, fmt.Errorf("%v came instead of a job", message)
	}
	return message.GetJob(), nil
}

func executeOn(stream *connect.BidiStreamForClient[pb.WorkerMessage, pb.EngineMessage], job *pb.JobAssignment) error {
	send := func(message *pb.WorkerMessage) error { return stream.Send(message) }
	charge, sleep := job.RunId+":charge:0", job.RunId+":nap:0"
	err := send(&pb.WorkerMessage{Payload: &pb.WorkerMessage_JobAck{JobAck: &pb.JobAck{
		JobId: job.JobId, ExecutionSeq: job.ExecutionSeq, LeaseToken: job.LeaseToken,
	}}})
	if err != nil {
		return err
	}
	if len(job.CompletedSteps) == 0 {
		return first(
			send(&pb.WorkerMessage{Payload: &pb.WorkerMessage_StepStarted{StepStarted: &pb.StepStarted{
				JobId: job.JobId, StepId: charge, Name: "charge", ExecutionSeq: job.ExecutionSeq, LeaseToken: job.LeaseToken,
			}}}),
			send(&pb.WorkerMessage{Payload: &pb.WorkerMessage_StepCompleted{StepCompleted: &pb.StepCompleted{
				JobId: job.JobId, StepId: charge, OutputValue: value(3.0), ExecutionSeq: job.ExecutionSeq, LeaseToken: job.LeaseToken,
			}}}),
			send(&pb.WorkerMessage{Payload: &pb.WorkerMessage_StepYielded{StepYielded: &pb.StepYielded{
				JobId: job.JobId, StepId: sleep, ExecutionSeq: job.ExecutionSeq, LeaseToken: job.LeaseToken,
				YieldInfo: &pb.StepYielded_Sleep{Sleep: &pb.SleepYield{Until: timestamppb.New(time.Now().Add(nap))}},
			}}}),
		)
	}
	return first(
		expect("the steps of the memo", len(job.CompletedSteps), 2),
		send(&pb.WorkerMessage{Payload: &pb.WorkerMessage_JobCompleted{JobCompleted: &pb.JobCompleted{
			JobId: job.JobId, Output: value(object{"charged": 3.0}).GetStructValue(),
			ExecutionSeq: job.ExecutionSeq, LeaseToken: job.LeaseToken,
		}}}),
	)
}
