// Package main is a wire with a delay and a rate, for kernels that have no netem: two TUN devices, and what goes into one comes out of the
// other so much later. Nothing is lost and nothing overtakes. It prints "ready" once both devices are there; the caller may then move them into
// network namespaces. They are gone when it ends.
//
//	delay -one-way=5ms -rate=100 -devices=one,other
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Not in package syscall. Source: linux/if_tun.h.
const (
	tunSetOffload = 0x400454d0
	offloadChecks = 0x1
	offloadTCPv4  = 0x2
)

func main() {
	log.SetFlags(0)
	oneWay := flag.Duration("one-way", 5*time.Millisecond, "time from one device to the other")
	rate := flag.Float64("rate", 0, "MB/s in either direction; as much as goes if 0")
	names := flag.String("devices", "", "two names, separated by a comma")
	flag.Parse()
	one, other, two := strings.Cut(*names, ",")
	if !two || one == "" || other == "" {
		log.Fatalf("-devices=%q: want two names, separated by a comma", *names)
	}
	ends := [2]*os.File{open(one), open(other)}
	fmt.Println("ready")
	failed := make(chan error)
	for at, from := range ends {
		line := newLine(*oneWay, *rate*1e6)
		go func() { failed <- line.fill(from) }()
		go func() { failed <- line.empty(ends[1-at]) }()
	}
	log.Fatal(<-failed)
}

// open makes a TUN device whose reads and writes begin with virtio's header. With it the kernel hands over TCP segments of up to 64 KiB in
// one piece and leaves their checksums out, as between two virtual machines: else the reads and writes would be the slowest part of the path.
func open(name string) *os.File {
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		log.Fatalf("/dev/net/tun: %v", err)
	}
	var request struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	if len(name) >= len(request.name) {
		log.Fatalf("device name %q is longer than %d bytes", name, len(request.name)-1)
	}
	copy(request.name[:], name)
	request.flags = syscall.IFF_TUN | syscall.IFF_NO_PI | syscall.IFF_VNET_HDR
	control(fd, name, syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request)))
	control(fd, name, tunSetOffload, offloadChecks|offloadTCPv4)
	return os.NewFile(uintptr(fd), name)
}

func control(fd int, name string, request, argument uintptr) {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, argument); errno != 0 {
		log.Fatalf("TUN device %s: ioctl %#x: %v", name, request, errno)
	}
}
