module ironflow.test/clients

go 1.23.0

require (
	connectrpc.com/connect v1.18.1
	github.com/coder/websocket v1.8.13
	golang.org/x/net v0.38.0
	google.golang.org/protobuf v1.36.6
)

require golang.org/x/text v0.23.0 // indirect
