package terminal

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Encoding of terminal modes: RFC 4254 section 8; IUTF8 from RFC 8160.
const (
	modeEnd = 0
	// Opcodes from here on have no defined argument: parsing must stop.
	modeUndefined = 160
	charDisabled  = 255
)

var errModes = errors.New("the terminal modes are malformed")

var controlChars = map[byte]int{
	1: unix.VINTR, 2: unix.VQUIT, 3: unix.VERASE, 4: unix.VKILL, 5: unix.VEOF, 6: unix.VEOL, 7: unix.VEOL2,
	8: unix.VSTART, 9: unix.VSTOP, 10: unix.VSUSP, 12: unix.VREPRINT, 13: unix.VWERASE, 14: unix.VLNEXT,
	16: unix.VSWTC, 18: unix.VDISCARD,
}

var inputFlags = map[byte]uint32{
	30: unix.IGNPAR, 31: unix.PARMRK, 32: unix.INPCK, 33: unix.ISTRIP, 34: unix.INLCR, 35: unix.IGNCR,
	36: unix.ICRNL, 37: unix.IUCLC, 38: unix.IXON, 39: unix.IXANY, 40: unix.IXOFF, 41: unix.IMAXBEL, 42: unix.IUTF8,
}

var localFlags = map[byte]uint32{
	50: unix.ISIG, 51: unix.ICANON, 52: unix.XCASE, 53: unix.ECHO, 54: unix.ECHOE, 55: unix.ECHOK, 56: unix.ECHONL,
	57: unix.NOFLSH, 58: unix.TOSTOP, 59: unix.IEXTEN, 60: unix.ECHOCTL, 61: unix.ECHOKE, 62: unix.PENDIN,
}

var outputFlags = map[byte]uint32{
	70: unix.OPOST, 71: unix.OLCUC, 72: unix.ONLCR, 73: unix.OCRNL, 74: unix.ONOCR, 75: unix.ONLRET,
}

var controlFlags = map[byte]uint32{90: unix.CS7, 91: unix.CS8, 92: unix.PARENB, 93: unix.PARODD}

func setModes(settings *unix.Termios, encoded string) error {
	for rest := []byte(encoded); len(rest) > 0; {
		opcode := rest[0]
		if opcode == modeEnd || opcode >= modeUndefined {
			return nil
		}
		if len(rest) < 5 {
			return errModes
		}
		setMode(settings, opcode, binary.BigEndian.Uint32(rest[1:5]))
		rest = rest[5:]
	}
	return nil
}

// setMode sets one mode. Unknown ones are ignored, as the standard wants; so are baud rates, which no pty has.
func setMode(settings *unix.Termios, opcode byte, value uint32) {
	if index, ok := controlChars[opcode]; ok {
		if value == charDisabled {
			value = 0
		}
		settings.Cc[index] = byte(value)
		return
	}
	setFlag(&settings.Iflag, inputFlags[opcode], value)
	setFlag(&settings.Lflag, localFlags[opcode], value)
	setFlag(&settings.Oflag, outputFlags[opcode], value)
	if opcode == 90 && value != 0 || opcode == 91 && value != 0 {
		settings.Cflag &^= unix.CSIZE
	}
	setFlag(&settings.Cflag, controlFlags[opcode], value)
}

func setFlag(flags *uint32, bits, value uint32) {
	if value != 0 {
		*flags |= bits
	} else {
		*flags &^= bits
	}
}
