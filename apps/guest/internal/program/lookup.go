package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Exit codes of a program that could not be started, as shells give them.
const (
	ExitNotExecutable = 126
	ExitNotFound      = 127
	exitSignalBase    = 128
)

// ErrNotFound says that no such program is in the image.
var ErrNotFound = errors.New("not found")

// FindExecutable returns the path of a program, searched in path (a PATH) as execvp does; dir is where a relative
// name with a slash starts.
func FindExecutable(name, path, dir string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("the empty program name: %w", ErrNotFound)
	}
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, checkExecutable(name)
	}
	denied := error(nil)
	for _, folder := range filepath.SplitList(path) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		candidate := filepath.Join(folder, name)
		err := checkExecutable(candidate)
		if err == nil {
			return candidate, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%s: %w in PATH", name, ErrNotFound)
}

// StartExitCode is the exit code for an error of FindExecutable or of starting.
func StartExitCode(err error) int {
	if errors.Is(err, ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return ExitNotFound
	}
	return ExitNotExecutable
}

func checkExecutable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", path, ErrNotFound)
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not an executable file: %w", path, fs.ErrPermission)
	default:
		return nil
	}
}
