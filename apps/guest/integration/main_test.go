// Package integration tries the guest as a renter meets it: the real OpenSSH client, a real container of a real
// engine, made with the hardened profile of the platform.
package integration

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What all tests share; made once.
var (
	workDir     string
	guestPath   string
	debianImage = fmt.Sprintf("dcompute/guest-test-debian:%d", os.Getpid())
	bareImage   = fmt.Sprintf("dcompute/guest-test-bare:%d", os.Getpid())
	testLabel   = fmt.Sprintf("dcompute.guest-test=%d", os.Getpid())
)

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	if output, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("these tests need a Docker engine, and none answers (DOCKER_HOST=%q): %s",
			os.Getenv("DOCKER_HOST"), bytes.TrimSpace(output))
	}
	for _, program := range []string{"ssh", "scp", "sftp", "ssh-keygen", "ssh-agent", "ssh-add", "rsync", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			return 1, fmt.Errorf("these tests need the program %s: %w", program, err)
		}
	}
	defer removeAll()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-interrupted
		removeAll()
		os.Exit(130)
	}()
	if workDir, err = os.MkdirTemp("", "guest-test-"); err != nil {
		return 1, err
	}
	if err := makeParts(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// makeParts builds the guest and two images: the platform's default one, and one that holds a single program.
func makeParts() error {
	guestPath = filepath.Join(workDir, "guest")
	if err := buildGo(guestPath, ".."); err != nil {
		return err
	}
	probe := filepath.Join(workDir, "probe")
	if err := buildGo(probe, "./testdata/probe"); err != nil {
		return err
	}
	program, err := os.ReadFile(probe)
	if err != nil {
		return err
	}
	importBare := exec.Command("docker", "import", "-", bareImage)
	importBare.Stdin = tarOf(tarEntry{name: "probe", mode: 0o755, content: program})
	if err := run(importBare); err != nil {
		return err
	}
	return run(exec.Command("node", "../../../tools/image/build.mjs", "--tag", debianImage))
}

func buildGo(output, source string) error {
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", output, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	return run(build)
}

func removeAll() {
	if ids, err := exec.Command("docker", "ps", "-aq", "--filter", "label="+testLabel).Output(); err == nil {
		for _, id := range strings.Fields(string(ids)) {
			_ = exec.Command("docker", "rm", "-fv", id).Run()
		}
	}
	_ = exec.Command("docker", "rmi", "-f", debianImage, bareImage).Run()
	_ = os.RemoveAll(workDir)
}

func run(command *exec.Cmd) error {
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

type tarEntry struct {
	name    string
	mode    int64
	content []byte
}

// tarOf returns an archive whose entries belong to root; an entry whose name ends in a slash is a folder.
func tarOf(entries ...tarEntry) *bytes.Buffer {
	archive := &bytes.Buffer{}
	writer := tar.NewWriter(archive)
	for _, entry := range entries {
		header := &tar.Header{Name: entry.name, Mode: entry.mode, Size: int64(len(entry.content)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(entry.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		// Writing to memory fails only for a malformed header, which the engine would then refuse.
		_ = writer.WriteHeader(header)
		_, _ = writer.Write(entry.content)
	}
	_ = writer.Close()
	return archive
}
