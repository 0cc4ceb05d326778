// SPDX-License-Identifier: Apache-2.0

package sdk

// Level says how much a log entry matters.
type Level uint8

// The levels, the least first.
const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
	LevelCritical
)

var levelNames = [...]string{"trace", "debug", "info", "warn", "error", "critical"}

func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return "unknown"
}

// Logger writes to the runtime's log, which adds the time and the operation's name.
// Package slogger puts log/slog on top of it.
type Logger struct {
	imports Imports
	context string
}

// WithContext returns a Logger whose entries carry another context, which is any
// text that groups entries. A Host's own Logger has the kind of the operator.
func (l *Logger) WithContext(context string) *Logger {
	return &Logger{imports: l.imports, context: context}
}

// Log writes an entry.
func (l *Logger) Log(level Level, message string) { l.imports.Log(level, l.context, message) }

// Trace writes an entry of that level.
func (l *Logger) Trace(message string) { l.Log(LevelTrace, message) }

// Debug writes an entry of that level.
func (l *Logger) Debug(message string) { l.Log(LevelDebug, message) }

// Info writes an entry of that level.
func (l *Logger) Info(message string) { l.Log(LevelInfo, message) }

// Warn writes an entry of that level.
func (l *Logger) Warn(message string) { l.Log(LevelWarn, message) }

// Error writes an entry of that level.
func (l *Logger) Error(message string) { l.Log(LevelError, message) }

// Critical writes an entry of that level.
func (l *Logger) Critical(message string) { l.Log(LevelCritical, message) }
