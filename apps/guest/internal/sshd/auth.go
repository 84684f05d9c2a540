package sshd

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"
)

const serverVersion = "SSH-2.0-DCompute"

var errKeyRefused = errors.New("the key is not among the instance's authorized keys")

// modernCrypto has what OpenSSH 6.5 (2014) and later can do; nothing with SHA-1, CBC or plain RSA signatures.
func modernCrypto(config *ssh.ServerConfig) {
	config.KeyExchanges = []string{
		ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
		ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
	}
	config.Ciphers = []string{
		ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305, ssh.CipherAES256CTR, ssh.CipherAES128CTR,
	}
	config.MACs = []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM}
	config.PublicKeyAuthAlgorithms = []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
}

// readHostKey reads the instance's OpenSSH PEM key.
func readHostKey(path string) (ssh.Signer, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return signer, nil
}

// checkAuthorized looks a key up in the file, which is read anew each time: keys change while the instance runs.
func checkAuthorized(path string, offered ssh.PublicKey) error {
	if isWeak(offered) {
		return errors.New("RSA keys need at least 2048 bits")
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	keys, err := parseAuthorizedKeys(file)
	if err != nil {
		return err
	}
	wanted := offered.Marshal()
	for _, key := range keys {
		if bytes.Equal(key.Marshal(), wanted) {
			return nil
		}
	}
	return errKeyRefused
}

// parseAuthorizedKeys reads one key a line. A line that is no key is passed over. So is a key with options: we do not
// enforce them, and a key that its owner restricted must not open more than they meant.
func parseAuthorizedKeys(source io.Reader) ([]ssh.PublicKey, error) {
	lines := bufio.NewScanner(io.LimitReader(source, maxAuthorizedKeysBytes))
	lines.Buffer(nil, maxAuthorizedKeysBytes)
	var keys []ssh.PublicKey
	for lines.Scan() && len(keys) < maxAuthorizedKeys {
		key, _, options, _, err := ssh.ParseAuthorizedKey(lines.Bytes())
		if err == nil && len(options) == 0 {
			keys = append(keys, key)
		}
	}
	return keys, lines.Err()
}

func isWeak(key ssh.PublicKey) bool {
	crypto, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return false
	}
	public, isRSA := crypto.CryptoPublicKey().(*rsa.PublicKey)
	return isRSA && public.N.BitLen() < minRSABits
}
