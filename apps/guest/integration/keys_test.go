package integration

import (
	"os/exec"
	"strings"
	"testing"
)

func TestKeysMayChangeWhileTheInstanceRuns(t *testing.T) {
	i := newInstance(t, settings{})
	makeKey(t, i.path("other"))
	i.mustSSH("true")
	loginWithOther := func() outcome {
		line := append(i.options("-p"), "root@127.0.0.1", "true")
		for index, argument := range line {
			line[index] = strings.Replace(argument, i.path("key"), i.path("other"), 1)
		}
		return finish(t, exec.Command("ssh", line...))
	}
	contains(t, "a key that is not there yet", loginWithOther().stderr, "Permission denied (publickey)")
	i.put(tarEntry{name: ".dcompute/authorized_keys", mode: 0o600, content: readFile(t, i.path("other.pub"))})
	loginWithOther().mustSucceed(t)
	contains(t, "a key that is gone", i.ssh("true").stderr, "Permission denied (publickey)")
}

func TestEveryKindOfModernKeyMayLogIn(t *testing.T) {
	i := newInstance(t, settings{})
	for _, kind := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "521"}, {"-t", "rsa", "-b", "3072"}} {
		path := i.path("of-kind-" + kind[1])
		if err := run(exec.Command("ssh-keygen", append(kind, "-q", "-N", "", "-f", path)...)); err != nil {
			t.Fatal(err)
		}
		i.put(tarEntry{name: ".dcompute/authorized_keys", mode: 0o600, content: readFile(t, path+".pub")})
		line := append([]string{"-i", path}, append(i.options("-p"), "root@127.0.0.1", "true")...)
		finish(t, exec.Command("ssh", line...)).mustSucceed(t)
	}
}

func TestUnknownUsersAndPasswordsAreRefused(t *testing.T) {
	i := sharedInstance(t)
	for _, user := range []string{"nobody-knows", "0", "4242"} {
		contains(t, user, finish(t, i.sshCommandAs(user, nil, "true")).stderr, "Permission denied (publickey)")
	}
}

func TestTheHostKeyStaysOverARestartOfTheContainer(t *testing.T) {
	i := newInstance(t, settings{})
	i.mustSSH("echo kept > /root/file")
	i.docker("restart", "--time", "5", i.id)
	// known_hosts is written from the key that the platform made: another one would be refused.
	i.readPort()
	eventually(t, "the server after the restart", i.serves)
	equal(t, "disk", i.mustSSH("cat /root/file"), "kept\n")
}

func TestTheServerNamesItselfAndOffersOnlyModernCrypto(t *testing.T) {
	i := sharedInstance(t)
	equal(t, "the banner", i.serves(), true)
	for _, weak := range []string{"KexAlgorithms=diffie-hellman-group14-sha1", "Ciphers=aes128-cbc", "MACs=hmac-sha1"} {
		flags := []string{"-o", weak}
		if strings.HasPrefix(weak, "MACs") {
			flags = append(flags, "-o", "Ciphers=aes128-ctr")
		}
		contains(t, weak, finish(t, i.sshCommand(flags, "true")).stderr, "Unable to negotiate")
	}
	for _, good := range []string{"Ciphers=chacha20-poly1305@openssh.com", "Ciphers=aes256-gcm@openssh.com", "Ciphers=aes256-ctr"} {
		finish(t, i.sshCommand([]string{"-o", good}, "true")).mustSucceed(t)
	}
}

func TestKeepalivesAreAnswered(t *testing.T) {
	i := sharedInstance(t)
	finish(t, i.sshCommand([]string{"-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1"}, "sleep 3")).mustSucceed(t)
}
