// SPDX-License-Identifier: Apache-2.0

package binary

import "strings"

// isLabel reports whether s is a label: words joined by hyphens, each all lower or
// all upper case letters and digits, the first starting with a letter.
func isLabel(s string) bool {
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

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// withVersionSuffix completes the version of an interface name.
func withVersionSuffix(name, suffix string) string {
	if !strings.Contains(name, "@") {
		return name
	}
	return name + suffix
}
