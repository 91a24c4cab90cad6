module hawser.test/pod-server

go 1.26
