package initd

import (
	"os"
	"os/signal"
	"syscall"
)

// forwarded reach the main program when someone sends them to PID 1. TERM and INT end the instance instead.
var forwarded = []os.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGALRM}

// signals has a channel per purpose, so that a flood of one kind never hides another.
type signals struct {
	child   chan os.Signal
	stop    chan os.Signal
	forward chan os.Signal
}

func subscribe() signals {
	s := signals{
		child:   make(chan os.Signal, 1),
		stop:    make(chan os.Signal, 1),
		forward: make(chan os.Signal, 16),
	}
	// Every other signal is taken and dropped: the Go runtime would end PID 1, and the instance, on many of them.
	signal.Notify(make(chan os.Signal, 1))
	signal.Notify(s.child, syscall.SIGCHLD)
	signal.Notify(s.stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(s.forward, forwarded...)
	return s
}

// signalEveryone sends to all processes of the instance but PID 1 itself.
func signalEveryone(sig syscall.Signal) {
	if os.Getpid() != 1 {
		panic("signalEveryone outside of an instance")
	}
	// The only error is that there is nobody.
	_ = syscall.Kill(-1, sig)
}
