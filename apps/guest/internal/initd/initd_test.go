package initd

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

func TestRestartsAreQuickAfterAHealthyLifeAndSpacedInALoop(t *testing.T) {
	var b backoff
	var delays []time.Duration
	for range 12 {
		delays = append(delays, b.delayAfter(time.Millisecond))
	}
	for index := 1; index < len(delays); index++ {
		if delays[index] < delays[index-1] || delays[index] > backoffMost {
			t.Errorf("delays %v", delays)
		}
	}
	if delays[0] != backoffFirst || delays[11] != backoffMost {
		t.Errorf("delays %v", delays)
	}
	if delay := b.delayAfter(healthyAfter); delay != backoffFirst {
		t.Errorf("after a healthy life: %s", delay)
	}
}

func TestTheReaperTellsEachStarterTheStatusOfItsChild(t *testing.T) {
	child := make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	defer signal.Stop(child)
	r := newReaper()
	codes := map[string]int{}
	for _, code := range []string{"3", "4", "5"} {
		attr := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}}
		if _, err := r.start("/bin/sh", []string{"sh", "-c", "exit " + code}, attr, func(status syscall.WaitStatus) {
			codes[code] = status.ExitStatus()
		}); err != nil {
			t.Fatal(err)
		}
	}
	for limit := time.After(10 * time.Second); !r.reap(); {
		select {
		case <-child:
		case <-limit:
			t.Fatalf("not all ended: %v", codes)
		}
	}
	if len(codes) != 3 || codes["3"] != 3 || codes["4"] != 4 || codes["5"] != 5 {
		t.Errorf("got %v", codes)
	}
}

func TestAProgramThatCannotStartIsAnErrorOfItsStarter(t *testing.T) {
	_, err := newReaper().start("/no/such/program", []string{"x"}, &syscall.ProcAttr{}, func(syscall.WaitStatus) {
		t.Error("it has no status")
	})
	if err == nil {
		t.Error("it started")
	}
}

func TestOnlyPID1MaySignalEveryone(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it was allowed")
		}
	}()
	signalEveryone(syscall.Signal(0))
}
