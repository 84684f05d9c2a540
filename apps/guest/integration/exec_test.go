package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

func TestExitCodesOfCommandsReachTheClient(t *testing.T) {
	i := sharedInstance(t)
	for _, code := range []int{0, 1, 7, 42, 254} {
		equal(t, "exit code", i.ssh(fmt.Sprintf("exit %d", code)).code, code)
	}
	equal(t, "unknown program", i.ssh("no-such-program").code, 127)
	equal(t, "a program that a signal ended, as OpenSSH tells it", i.ssh("kill -KILL $$").code, 255)
}

func TestStderrStaysApartFromStdout(t *testing.T) {
	result := sharedInstance(t).ssh("echo out; echo problem >&2; echo by-name >/dev/stderr")
	equal(t, "stdout", result.stdout, "out\n")
	equal(t, "stderr", result.stderr, "problem\nby-name\n")
}

func TestEndOfStdinReachesTheProgramAfterEveryByte(t *testing.T) {
	i := sharedInstance(t)
	input := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{1}).Read(input)
	sum := sha256.Sum256(input)
	command := i.sshCommand(nil, "sha256sum")
	command.Stdin = bytes.NewReader(input)
	equal(t, "hash", strings.Fields(finish(t, command).mustSucceed(t))[0], hex.EncodeToString(sum[:]))
}

func TestLargeOutputArrivesWhole(t *testing.T) {
	output := sharedInstance(t).mustSSH("head -c 30000000 /dev/zero")
	equal(t, "bytes", len(output), 30_000_000)
}

func TestAProgramThatStopsReadingEndsTheSession(t *testing.T) {
	i := sharedInstance(t)
	command := i.sshCommand(nil, "head -c 3")
	command.Stdin = bytes.NewReader(make([]byte, 16<<20))
	equal(t, "bytes", len(finish(t, command).mustSucceed(t)), 3)
}

func TestAScriptOnStdinRunsInTheShell(t *testing.T) {
	i := sharedInstance(t)
	command := i.sshCommand([]string{"-T"})
	command.Stdin = strings.NewReader("echo first\nexit 9\n")
	result := finish(t, command)
	equal(t, "stdout", result.stdout, "first\n")
	equal(t, "exit code", result.code, 9)
}

func TestEnvironmentAndWorkingDirectoryOfALogin(t *testing.T) {
	i := newInstance(t, settings{
		imageEnv:  []string{"PATH=/opt/conda/bin:/usr/bin:/bin", "FROM_IMAGE=image", "BOTH=image"},
		renterEnv: map[string]string{"FROM_RENTER": "with = and \"quotes\"", "BOTH": "renter"},
		workdir:   "/workspace",
	})
	command := i.sshCommand([]string{"-o", "SetEnv=FROM_CLIENT=client"}, "pwd; env")
	output := finish(t, command).mustSucceed(t)
	equal(t, "working directory", strings.SplitN(output, "\n", 2)[0], "/root")
	for _, line := range []string{
		"FROM_IMAGE=image", "BOTH=renter", "FROM_RENTER=with = and \"quotes\"", "FROM_CLIENT=client",
		"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "SSH_CONNECTION=", "SSH_CLIENT=",
	} {
		contains(t, "environment", output, "\n"+line)
	}
	contains(t, "PATH", output, "PATH=/opt/conda/bin:")
	interactive := i.sshCommand([]string{"-tt"})
	interactive.Stdin = strings.NewReader("echo path=$PATH; exit\n")
	contains(t, "PATH of an interactive login", finish(t, interactive).stdout, "path=/opt/conda/bin:")
}

func TestSessionsInheritNoDescriptorOfTheServer(t *testing.T) {
	// 0, 1, 2, and the folder that ls itself reads.
	equal(t, "descriptors", strings.Fields(sharedInstance(t).mustSSH("ls /proc/self/fd | wc -l"))[0], "4")
}

func TestTheImagesUserLogsInAsItself(t *testing.T) {
	i := newInstance(t, settings{user: "1234:4321"})
	result := finish(t, i.sshCommandAs("1234", nil, "id -u; id -g; echo x > /tmp/file; echo by-name > /dev/stderr"))
	equal(t, "stdout", result.stdout, "1234\n4321\n")
	equal(t, "stderr", result.stderr, "by-name\n")
	tty := finish(t, i.sshCommandAs("1234", []string{"-tt"}, "echo x > $(tty) && id -u"))
	contains(t, "terminal", tty.mustSucceed(t), "1234")
	equal(t, "owner", strings.TrimSpace(i.mustSSH("stat -c %u:%g /tmp/file")), "1234:4321")
	named := finish(t, i.sshCommandAs("www-data", nil, "id -un; id -Gn"))
	equal(t, "a user of /etc/passwd with a nologin shell", named.mustSucceed(t), "www-data\nwww-data\n")
}

func TestManySessionsShareOneConnection(t *testing.T) {
	i := sharedInstance(t)
	control := i.path("control")
	master := i.sshCommand([]string{"-M", "-N", "-S", control})
	startProgram(t, master)
	eventually(t, "control socket", func() bool {
		return exec.Command("ssh", "-S", control, "-O", "check", "root@127.0.0.1").Run() == nil
	})
	var all sync.WaitGroup
	for n := range 30 {
		all.Go(func() {
			result := finish(t, i.sshCommand([]string{"-S", control}, fmt.Sprintf("sleep 0.2; exit %d", n)))
			equal(t, "exit code", result.code, n)
		})
	}
	all.Wait()
}

// startProgram starts a program for the length of a test.
func startProgram(t *testing.T, command *exec.Cmd) {
	t.Helper()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
}
