// Package terminal opens pseudo-terminals and sets their size and modes. Files stay in the runtime's poller throughout,
// so that closing a master ends a read of it, and with it hangs up whatever runs in the terminal.
package terminal

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	multiplexer = "/dev/ptmx"
	maxCells    = 10_000
)

// Size of a terminal, in characters and, where known, in pixels.
type Size struct{ Columns, Rows, Width, Height uint32 }

// Open makes a new pseudo-terminal. The slave is not the controlling terminal of the caller.
func Open() (master, slave *os.File, err error) {
	master, err = os.OpenFile(multiplexer, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	number := 0
	err = control(master, func(fd int) (failed error) {
		if failed = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return failed
	})
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}

// SetSize sets the size of a terminal, by its master or its slave; programs in it get SIGWINCH.
func SetSize(terminal *os.File, size Size) error {
	window := &unix.Winsize{
		Col: cells(size.Columns), Row: cells(size.Rows), Xpixel: cells(size.Width), Ypixel: cells(size.Height),
	}
	return control(terminal, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, window) })
}

// ApplyModes gives the terminal the modes of a client's own, as encoded in its pty-req.
func ApplyModes(terminal *os.File, encoded string) error {
	return control(terminal, func(fd int) error {
		settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		if err := setModes(settings, encoded); err != nil {
			return err
		}
		return unix.IoctlSetTermios(fd, unix.TCSETS, settings)
	})
}

// control uses the descriptor without taking the file out of the poller, as File.Fd would.
func control(file *os.File, use func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = use(int(fd)) })
	return errors.Join(err, failed)
}

func cells(count uint32) uint16 { return uint16(min(count, maxCells)) }
