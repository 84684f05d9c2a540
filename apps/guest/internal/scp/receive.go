package scp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// times are those of the next file or directory, where the sender preserves them.
type times struct{ modified, accessed time.Time }

// receive writes what comes in to target: into it when it is a directory, else as it.
func (e *endpoint) receive(target string, mustBeDirectory bool) error {
	info, err := os.Stat(target)
	isDirectory := err == nil && info.IsDir()
	if mustBeDirectory && !isDirectory {
		return fmt.Errorf("%s: Not a directory", target)
	}
	return e.receiveInto(target, isDirectory, 0)
}

// receiveInto serves messages until the end of the input, or of the directory that they describe.
func (e *endpoint) receiveInto(target string, isDirectory bool, depth int) error {
	if depth > maxDepth {
		return errors.New("directories are nested too deeply")
	}
	var stamp *times
	if err := e.acknowledge(); err != nil {
		return err
	}
	for {
		line, err := e.readLine()
		if errors.Is(err, io.EOF) && depth == 0 && line == "" {
			return nil
		}
		if err != nil || line == "" {
			return errors.Join(errors.New("the protocol ended early"), err)
		}
		switch line[0] {
		case replyWarning:
			e.failed = true
		case replyFatal:
			return errPeer
		case 'E':
			if depth == 0 {
				return errors.New("an end of directory without a directory")
			}
			return e.acknowledge()
		case 'T':
			if stamp, err = parseTimes(line); err == nil {
				err = e.acknowledge()
			}
		case 'C', 'D':
			err = e.receiveOne(line, target, isDirectory, depth, stamp)
			stamp = nil
		default:
			err = errors.New("an unknown message of the protocol")
		}
		if err != nil {
			return err
		}
	}
}

func (e *endpoint) receiveOne(line, target string, isDirectory bool, depth int, stamp *times) error {
	mode, size, name, err := parseEntry(line)
	if err != nil {
		return err
	}
	path := target
	if isDirectory {
		path = filepath.Join(target, name)
	}
	if line[0] == 'C' {
		return e.receiveFile(path, mode, size, stamp)
	}
	if !e.recursive {
		return errors.New("a directory came without -r")
	}
	if err := os.Mkdir(path, mode|0o700); err != nil && !isDir(path) {
		// Its content would land elsewhere: no way to go on.
		return err
	}
	if err := e.receiveInto(path, true, depth+1); err != nil {
		return err
	}
	if err := e.finish(path, mode, stamp); err != nil {
		e.failed = true
	}
	return nil
}

func (e *endpoint) receiveFile(path string, mode os.FileMode, size int64, stamp *times) error {
	file, problem := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, mode)
	if problem != nil {
		e.warn(problem)
		return nil
	}
	if err := e.acknowledge(); err != nil {
		return errors.Join(err, file.Close())
	}
	written, problem := io.CopyN(file, e.in, size)
	if problem != nil {
		// The rest of the file must leave the stream before the next message.
		if _, err := io.CopyN(io.Discard, e.in, size-written); err != nil {
			return errors.Join(err, file.Close())
		}
	} else {
		problem = file.Truncate(size)
	}
	problem = errors.Join(problem, file.Close())
	if problem == nil {
		problem = e.finish(path, mode, stamp)
	}
	if _, err := e.awaitReply(); err != nil {
		return err
	}
	if problem != nil {
		e.warn(problem)
		return nil
	}
	return e.acknowledge()
}

func (e *endpoint) finish(path string, mode os.FileMode, stamp *times) error {
	if !e.preserve {
		return nil
	}
	err := os.Chmod(path, mode)
	if stamp != nil {
		err = errors.Join(err, os.Chtimes(path, stamp.accessed, stamp.modified))
	}
	return err
}

// parseEntry reads `C0644 123 name` or `D0755 0 name`. A name with a slash could leave the target.
func parseEntry(line string) (mode os.FileMode, size int64, name string, err error) {
	fields := strings.SplitN(line[1:], " ", 3)
	if len(fields) != 3 {
		return 0, 0, "", errors.New("an entry of the protocol is malformed")
	}
	bits, err := strconv.ParseUint(fields[0], 8, 12)
	if err != nil {
		return 0, 0, "", fmt.Errorf("mode %q: %w", fields[0], err)
	}
	size, err = strconv.ParseInt(fields[1], 10, 64)
	if err != nil || size < 0 {
		return 0, 0, "", fmt.Errorf("size %q is not a size", fields[1])
	}
	name = fields[2]
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return 0, 0, "", fmt.Errorf("%q is not a file name", name)
	}
	return os.FileMode(bits & 0o777), size, name, nil
}

// parseTimes reads `T<mtime> 0 <atime> 0`.
func parseTimes(line string) (*times, error) {
	fields := strings.Fields(line[1:])
	if len(fields) != 4 {
		return nil, errors.New("times of the protocol are malformed")
	}
	modified, err := strconv.ParseInt(fields[0], 10, 64)
	accessed, err2 := strconv.ParseInt(fields[2], 10, 64)
	return &times{modified: time.Unix(modified, 0), accessed: time.Unix(accessed, 0)}, errors.Join(err, err2)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
