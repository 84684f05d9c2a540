package program

import (
	"errors"
	"strings"
)

var errUnfinished = errors.New("a quote or backslash is not finished")

// Split cuts a command line into arguments by blanks, single and double quotes and backslashes. It serves images
// without a shell: nothing is expanded.
func Split(line string) ([]string, error) {
	var (
		arguments []string
		word      strings.Builder
		inWord    bool
		quote     rune
		escaped   bool
	)
	for _, char := range line {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune("\"\\$`\n", char) {
				word.WriteRune('\\')
			}
			word.WriteRune(char)
			escaped = false
		case char == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if char == quote {
				quote = 0
			} else {
				word.WriteRune(char)
			}
		case char == '\'' || char == '"':
			quote, inWord = char, true
		case strings.ContainsRune(" \t\r\n", char):
			if inWord {
				arguments = append(arguments, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(char)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, errUnfinished
	}
	if inWord {
		arguments = append(arguments, word.String())
	}
	return arguments, nil
}
