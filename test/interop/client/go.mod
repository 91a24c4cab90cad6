module hawser.test/client

go 1.26
