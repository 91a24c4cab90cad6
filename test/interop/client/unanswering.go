package client

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// listenUnanswering returns an IPv4 address at which a connect gets no answer at all, as behind a firewall that drops:
// a listener that never accepts and whose queue is full. It stays so for as long as the process lives.
func listenUnanswering(host string) (string, error) {
	ip := net.ParseIP(host).To4()
	if ip == nil {
		return "", fmt.Errorf("%s is no IPv4 address", host)
	}
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte(ip)}); err != nil {
		return "", err
	}
	if err := syscall.Listen(socket, 0); err != nil {
		return "", err
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		return "", err
	}
	address := net.JoinHostPort(host, strconv.Itoa(bound.(*syscall.SockaddrInet4).Port))
	// Linux takes one connection more than the length of the queue.
	for range 8 {
		if _, err := net.DialTimeout("tcp", address, 200*time.Millisecond); err != nil {
			return address, nil
		}
	}
	return "", fmt.Errorf("%s goes on answering", address)
}
