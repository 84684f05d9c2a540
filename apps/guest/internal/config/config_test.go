package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const full = `{"version":1,"rental_id":"r","run_type":"args","image":{"entrypoint":["/a"],"cmd":["b"],"env":["K=V"],
"workdir":"/w","user":"u:g"},"command":["c"],"env":{"N":"1"},"ssh_port":2222,"stop_grace_seconds":0,"from_the_future":true}`

func TestAConfigurationIsReadWhole(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(FilesIn(dir).Config(), []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.RunType != RunArgs || cfg.Image.Entrypoint[0] != "/a" || cfg.Image.User != "u:g" || cfg.Env["N"] != "1" {
		t.Errorf("read as %+v", cfg)
	}
	if cfg.SSHPort != 2222 || cfg.StopGrace() != 0 {
		t.Errorf("port %d, grace %s", cfg.SSHPort, cfg.StopGrace())
	}
}

func TestWhatIsMissingHasItsDefault(t *testing.T) {
	cfg, err := Parse([]byte(`{"version":1,"run_type":"ssh"}`))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.SSHPort != 22 || cfg.StopGrace() != 10*time.Second {
		t.Errorf("port %d, grace %s", cfg.SSHPort, cfg.StopGrace())
	}
}

func TestAConfigurationThatCannotBeServedIsRefusedWithAReason(t *testing.T) {
	for text, reason := range map[string]string{
		`{`:                                           "not valid JSON",
		`{"version":2,"run_type":"ssh"}`:              "version 2 is not supported",
		`{"version":1,"run_type":"vm"}`:               `run type "vm" is unknown`,
		`{"version":1,"run_type":"jupyter"}`:          "jupyter is not supported",
		`{"version":1,"run_type":"ssh","ssh_port":0}`: "ssh_port 0",
		`{"version":1,"run_type":"ssh","stop_grace_seconds":601}`:  "stop_grace_seconds",
		`{"version":1,"run_type":"ssh","env":{"A=B":"c"}}`:         "A=B",
		`{"version":1,"run_type":"ssh","command":"not a list"}`:    "not valid JSON",
		`{"version":1,"run_type":"ssh","image":{"env":{"K":"V"}}}`: "not valid JSON",
		`{"version":1,"run_type":"ssh","stop_grace_seconds":-1}`:   "stop_grace_seconds",
		`{"version":1,"run_type":"ssh","env":{"":"nameless"}}`:     "the name",
		`{"version":1,"run_type":"ssh","ssh_port":65536}`:          "ssh_port 65536",
		`{"version":1,"run_type":"","image":{}}`:                   "run type",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want %q", text, err, reason)
		}
	}
}

func TestAnEndlessFileIsNotReadToItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLimited(path, 99); err == nil {
		t.Error("100 bytes were read with a limit of 99")
	}
	if _, err := readLimited(path, 100); err != nil {
		t.Error(err)
	}
}
