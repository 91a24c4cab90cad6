module hawser.test/apiserver-client
