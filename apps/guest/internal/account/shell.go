package account

import (
	"os"
	"path/filepath"
	"slices"
)

var (
	fallbackShells = []string{"/bin/bash", "/bin/sh"}
	// An image marks service users with these; whoever holds a key of the instance may use it all the same.
	notShells = []string{"nologin", "false", "true", "sync", "halt", "shutdown"}
)

// FindShell returns the user's shell from /etc/passwd, else /bin/bash, else /bin/sh; "" when the image has none.
func FindShell(user User) string {
	if isExecutable(user.Shell) && !slices.Contains(notShells, filepath.Base(user.Shell)) {
		return user.Shell
	}
	for _, shell := range fallbackShells {
		if isExecutable(shell) {
			return shell
		}
	}
	return ""
}

func isExecutable(path string) bool {
	if path == "" {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
