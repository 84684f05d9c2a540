package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// waitLimit bounds every wait for a condition.
const waitLimit = 20 * time.Second

// programLimit bounds every program that a test runs to its end.
const programLimit = time.Minute

// settings of an instance; the zero value is an SSH instance of the Debian image.
type settings struct {
	image     string
	runType   string
	user      string
	workdir   string
	imageEnv  []string
	renterEnv map[string]string
	command   []string
	entry     []string
	cmd       []string
	grace     int
}

// instance is a container with the guest as PID 1, and a renter's key for it.
type instance struct {
	t    testing.TB
	id   string
	port string
	dir  string
}

var (
	sharedOnce sync.Once
	shared     *instance
)

// sharedInstance is one SSH instance for all tests that leave no trace in it.
func sharedInstance(t *testing.T) *instance {
	t.Helper()
	sharedOnce.Do(func() {
		dir := filepath.Join(workDir, "shared")
		if err := os.Mkdir(dir, 0o700); err == nil {
			shared = startInstance(t, dir, settings{renterEnv: map[string]string{"RENTER": "of the instance"}})
		}
	})
	if shared == nil {
		t.Fatal("the shared instance did not start")
	}
	copied := *shared
	copied.t = t
	return &copied
}

// newInstance starts an instance for one test and removes it afterwards.
func newInstance(t *testing.T, s settings) *instance {
	t.Helper()
	i := createInstance(t, t.TempDir(), s)
	t.Cleanup(func() { i.docker("rm", "-fv", i.id) })
	i.start()
	return i
}

func startInstance(t testing.TB, dir string, s settings) *instance {
	i := createInstance(t, dir, s)
	i.start()
	return i
}

// createInstance makes the container as the agent does: the hardened profile, the guest's files by the archive API.
func createInstance(t testing.TB, dir string, s settings) *instance {
	t.Helper()
	i := &instance{t: t, dir: dir}
	makeKey(t, i.path("host_key"))
	makeKey(t, i.path("key"))
	args := []string{
		"create", "--label", testLabel, "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true",
		"--pids-limit", "2048", "--memory", "1g", "--memory-swap", "1g", "--user", "0:0", "--workdir", "/",
		"--publish", "127.0.0.1::22", "--env", "NVIDIA_VISIBLE_DEVICES=void", "--entrypoint", "/.dcompute/guest",
	}
	for _, capability := range []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL"} {
		args = append(args, "--cap-add", capability)
	}
	for _, variable := range s.imageEnv {
		// The engine gives PID 1 the image's environment; this image has none of its own.
		args = append(args, "--env", variable)
	}
	i.id = i.docker(append(args, orElse(s.image, debianImage), "init")...)
	i.put(
		tarEntry{name: ".dcompute/", mode: 0o755},
		tarEntry{name: ".dcompute/guest", mode: 0o755, content: readFile(t, guestPath)},
		tarEntry{name: ".dcompute/config.json", mode: 0o600, content: configOf(t, s)},
		tarEntry{name: ".dcompute/ssh_host_key", mode: 0o600, content: readFile(t, i.path("host_key"))},
		tarEntry{name: ".dcompute/authorized_keys", mode: 0o600, content: readFile(t, i.path("key.pub"))},
	)
	return i
}

func configOf(t testing.TB, s settings) []byte {
	t.Helper()
	grace := 10
	if s.grace != 0 {
		grace = s.grace
	}
	text, err := json.Marshal(map[string]any{
		"version": 1, "rental_id": "rental-1", "run_type": orElse(s.runType, "ssh"),
		"image": map[string]any{
			"entrypoint": s.entry, "cmd": s.cmd, "env": s.imageEnv, "workdir": s.workdir, "user": s.user,
		},
		"command": s.command, "env": s.renterEnv, "ssh_port": 22, "stop_grace_seconds": grace,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (i *instance) path(name string) string { return filepath.Join(i.dir, name) }

func (i *instance) start() {
	i.t.Helper()
	i.docker("start", i.id)
	i.readPort()
	eventually(i.t, "the SSH server, or the end of the instance", func() bool {
		return i.serves() || i.docker("inspect", "--format", "{{.State.Running}}", i.id) == "false"
	})
}

// serves says whether the SSH server names itself.
func (i *instance) serves() bool {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+i.port, waitLimit)
	if err != nil {
		return false
	}
	defer conn.Close()
	banner, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && banner == "SSH-2.0-DCompute\r\n"
}

// readPort learns the published port, which is new after each start. An instance that has ended has none.
func (i *instance) readPort() {
	output, err := exec.Command("docker", "port", i.id, "22/tcp").Output()
	if err != nil {
		return
	}
	_, port, _ := strings.Cut(strings.TrimSpace(string(output)), ":")
	i.port = port
	known := fmt.Sprintf("[127.0.0.1]:%s %s", port, readFile(i.t, i.path("host_key.pub")))
	if err := os.WriteFile(i.path("known_hosts"), []byte(known), 0o600); err != nil {
		i.t.Fatal(err)
	}
}

// put copies files into the container as the agent does.
func (i *instance) put(entries ...tarEntry) {
	i.t.Helper()
	command := exec.Command("docker", "cp", "-", i.id+":/")
	command.Stdin = tarOf(entries...)
	if err := run(command); err != nil {
		i.t.Fatal(err)
	}
}

// awaitExit returns the container's exit code once it has ended.
func (i *instance) awaitExit() int {
	i.t.Helper()
	code, err := strconv.Atoi(i.docker("wait", i.id))
	if err != nil {
		i.t.Fatal(err)
	}
	return code
}

func (i *instance) logs() string {
	output, _ := exec.Command("docker", "logs", i.id).CombinedOutput()
	return string(output)
}

// docker runs the Docker client and returns what it prints.
func (i *instance) docker(args ...string) string {
	i.t.Helper()
	var problems bytes.Buffer
	command := exec.Command("docker", args...)
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		i.t.Fatalf("docker %s: %v: %s", args[0], err, problems.String())
	}
	return strings.TrimSpace(string(output))
}

// options are those of ssh, scp and sftp; port is how the program spells the port ("-p" or "-P").
func (i *instance) options(port string) []string {
	return []string{
		port, i.port, "-F", "none", "-i", i.path("key"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + i.path("known_hosts"), "-o", "LogLevel=INFO",
	}
}

// sshCommand prepares `ssh [flags] root@instance [args]`.
func (i *instance) sshCommand(flags []string, args ...string) *exec.Cmd {
	return i.sshCommandAs("root", flags, args...)
}

func (i *instance) sshCommandAs(user string, flags []string, args ...string) *exec.Cmd {
	line := append(i.options("-p"), flags...)
	return exec.Command("ssh", append(append(line, user+"@127.0.0.1"), args...)...)
}

// ssh runs a command in the instance.
func (i *instance) ssh(args ...string) outcome {
	i.t.Helper()
	return finish(i.t, i.sshCommand(nil, args...))
}

// mustSSH runs a command that must succeed and returns its output.
func (i *instance) mustSSH(args ...string) string {
	i.t.Helper()
	return i.ssh(args...).mustSucceed(i.t)
}

// outcome is what a finished program left.
type outcome struct {
	stdout, stderr string
	code           int
}

func finish(t testing.TB, command *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	tooLong := time.AfterFunc(programLimit, func() { _ = command.Process.Kill() })
	err := command.Wait()
	if !tooLong.Stop() {
		t.Fatalf("%s did not end within %s", command.Args[0], programLimit)
	}
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return outcome{stdout: stdout.String(), stderr: stderr.String(), code: command.ProcessState.ExitCode()}
}

func (o outcome) mustSucceed(t testing.TB) string {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("exit code %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for limit := time.Now().Add(waitLimit); !holds(); <-ticker.C {
		if time.Now().After(limit) {
			t.Fatalf("%s: not within %s", what, waitLimit)
		}
	}
}

func makeKey(t testing.TB, path string) {
	t.Helper()
	if err := run(exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func orElse(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func contains(t testing.TB, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s: %q is not in %q", what, part, text)
	}
}
