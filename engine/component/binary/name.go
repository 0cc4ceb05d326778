// SPDX-License-Identifier: Apache-2.0

package binary

import "strings"

// IsLabel reports whether s is a label: words joined by hyphens, each all lower or
// all upper case letters and digits, the first starting with a letter.
func IsLabel(s string) bool {
	for i, word := range strings.Split(s, "-") {
		if word == "" || i == 0 && isDigit(word[0]) {
			return false
		}
		var lower, upper bool
		for _, c := range []byte(word) {
			switch {
			case c >= 'a' && c <= 'z':
				lower = true
			case c >= 'A' && c <= 'Z':
				upper = true
			case !isDigit(c):
				return false
			}
		}
		if lower && upper {
			return false
		}
	}
	return true
}

// FoldLabel returns what two labels must not have in common to stand side by side:
// languages differ in how they join words and in case, so neither may be all that
// tells names apart.
func FoldLabel(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "")) }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// withVersionSuffix completes the version of an interface name.
func withVersionSuffix(name, suffix string) string {
	if !strings.Contains(name, "@") {
		return name
	}
	return name + suffix
}
