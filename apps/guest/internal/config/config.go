// Package config reads what the agent laid into the container before its first start.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Dir is the guest's own folder inside every instance.
const Dir = "/.dcompute"

const (
	fileName           = "config.json"
	hostKeyName        = "ssh_host_key"
	authorizedKeysName = "authorized_keys"
	runDirName         = "run"

	version             = 1
	maxFileBytes        = 4 << 20
	defaultSSHPort      = 22
	defaultGraceSeconds = 10
	maxGraceSeconds     = 600
)

// RunType says what the guest runs beside its SSH server.
type RunType string

const (
	// RunSSH runs no program of the image; the command, when there is one, runs once at the start.
	RunSSH RunType = "ssh"
	// RunArgs runs ENTRYPOINT with command (or CMD) as the main program: the instance ends with it.
	RunArgs RunType = "args"
	// RunJupyter is part of the protocol and is not served by this version.
	RunJupyter RunType = "jupyter"
)

// Image is what the image says about how to run it.
type Image struct {
	Entrypoint []string `json:"entrypoint"`
	Cmd        []string `json:"cmd"`
	// Env holds K=V.
	Env     []string `json:"env"`
	Workdir string   `json:"workdir"`
	// User is user[:group], names or numbers; empty means root.
	User string `json:"user"`
}

// Config is the content of config.json.
type Config struct {
	Version          int               `json:"version"`
	RentalID         string            `json:"rental_id"`
	RunType          RunType           `json:"run_type"`
	Image            Image             `json:"image"`
	Command          []string          `json:"command"`
	Env              map[string]string `json:"env"`
	SSHPort          int               `json:"ssh_port"`
	StopGraceSeconds int               `json:"stop_grace_seconds"`
}

// Files are the paths of the guest's files.
type Files struct{ dir string }

// FilesIn returns the paths of the guest's files under dir.
func FilesIn(dir string) Files { return Files{dir: dir} }

// Config is the path of config.json.
func (f Files) Config() string { return filepath.Join(f.dir, fileName) }

// HostKey is the path of the SSH host key, an OpenSSH PEM.
func (f Files) HostKey() string { return filepath.Join(f.dir, hostKeyName) }

// AuthorizedKeys is the path of the keys that may log in; the agent replaces the file while the instance runs.
func (f Files) AuthorizedKeys() string { return filepath.Join(f.dir, authorizedKeysName) }

// RunDir is the folder of the SSH server's own sockets.
func (f Files) RunDir() string { return filepath.Join(f.dir, runDirName) }

// StopGrace is the time between TERM and KILL for what the main program leaves behind when it ends by itself. A stop
// that the engine asks for has its own grace.
func (c *Config) StopGrace() time.Duration { return time.Duration(c.StopGraceSeconds) * time.Second }

// Load reads and checks the configuration in dir.
func Load(dir string) (*Config, error) {
	path := FilesIn(dir).Config()
	text, err := readLimited(path, maxFileBytes)
	if err != nil {
		return nil, err
	}
	parsed, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return parsed, nil
}

// Parse reads a configuration, fills in defaults and checks it. Unknown fields are ignored: a newer agent may send them.
func Parse(text []byte) (*Config, error) {
	parsed := &Config{SSHPort: defaultSSHPort, StopGraceSeconds: defaultGraceSeconds}
	if err := json.Unmarshal(text, parsed); err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	if err := parsed.check(); err != nil {
		return nil, err
	}
	return parsed, nil
}

func (c *Config) check() error {
	switch {
	case c.Version != version:
		return fmt.Errorf("version %d is not supported, only %d is", c.Version, version)
	case c.RunType == RunJupyter:
		return errors.New("run type jupyter is not supported by this version of the guest")
	case c.RunType != RunSSH && c.RunType != RunArgs:
		return fmt.Errorf("run type %q is unknown", c.RunType)
	case c.SSHPort < 1 || c.SSHPort > 65_535:
		return fmt.Errorf("ssh_port %d is not a port", c.SSHPort)
	case c.StopGraceSeconds < 0 || c.StopGraceSeconds > maxGraceSeconds:
		return fmt.Errorf("stop_grace_seconds must be between 0 and %d", maxGraceSeconds)
	}
	for name := range c.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("env has the name %q, which no environment can hold", name)
		}
	}
	return nil
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return text, err
}
