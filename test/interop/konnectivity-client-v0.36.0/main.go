// Command konnectivity-client is the client of the interop tests with the reference's own library, a tunnel for each
// connection, a plain HTTP CONNECT client, and for comparison no proxy at all.
package main

import "hawser.test/client"

func main() {
	client.Main(client.Dialers{
		"grpc": newGrpcDialer, "connect": client.NewConnectDialer, "direct": client.NewDirectDialer,
	})
}
