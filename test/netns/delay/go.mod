module hawser.test/delay

go 1.23
