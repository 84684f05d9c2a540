package terminal

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openOrFail(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, slave, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = master.Close(), slave.Close() })
	return master, slave
}

func TestClosingTheMasterEndsAReadAndHangsUpTheProgram(t *testing.T) {
	master, slave := openOrFail(t)
	program := exec.Command("sleep", "600")
	program.Stdin, program.Stdout, program.Stderr = slave, slave, slave
	program.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() {
		_, err := master.Read(make([]byte, 1))
		ended <- err
	}()
	go func() { ended <- program.Wait() }()
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("it ended without an error")
			}
		case <-time.After(10 * time.Second):
			_ = program.Process.Kill()
			t.Fatal("the master's close did not get through")
		}
	}
}

func TestSizesAreThoseThatWereSet(t *testing.T) {
	master, slave := openOrFail(t)
	if err := SetSize(master, Size{Columns: 132, Rows: 50, Width: 4_000_000_000}); err != nil {
		t.Fatal(err)
	}
	size, err := unix.IoctlGetWinsize(int(slave.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col != 132 || size.Row != 50 || size.Xpixel != maxCells {
		t.Errorf("%+v, %v", size, err)
	}
}

func TestModesOfTheClientAreApplied(t *testing.T) {
	_, slave := openOrFail(t)
	encoded := "\x01\x00\x00\x00\x18" + // VINTR ^X
		"\x0a\x00\x00\x00\xff" + // VSUSP disabled
		"\x35\x00\x00\x00\x00" + // ECHO off
		"\x2a\x00\x00\x00\x01" + // IUTF8 on
		"\x5b\x00\x00\x00\x01" + // CS8
		"\x80\x00\x00\x96\x00" + // input speed, ignored
		"\x00after the end"
	if err := ApplyModes(slave, encoded); err != nil {
		t.Fatal(err)
	}
	settings, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if settings.Cc[unix.VINTR] != 0x18 || settings.Cc[unix.VSUSP] != 0 || settings.Lflag&unix.ECHO != 0 {
		t.Errorf("%+v", settings)
	}
	if settings.Iflag&unix.IUTF8 == 0 || settings.Cflag&unix.CSIZE != unix.CS8 || settings.Lflag&unix.ISIG == 0 {
		t.Errorf("%+v", settings)
	}
}

func TestMalformedModesAreRefused(t *testing.T) {
	for _, encoded := range []string{"\x01", "\x01\x00\x00\x00", "\x01\x00\x00\x00\x03\x02"} {
		if err := setModes(&unix.Termios{}, encoded); err == nil {
			t.Errorf("%q was taken", encoded)
		}
	}
}
