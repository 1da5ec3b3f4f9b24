package recordings

import (
	"mime"
	"path"
	"strings"
	"unicode"
)

// mediaType is what a recording with that ending is, "" for what is no recording. Whatever a file holds, it is said to
// be this and nothing else: a page that somebody could put there would run as one of this site's.
func mediaType(ext string) string {
	switch ext {
	case ".mp3":
		return "audio/mpeg"
	case ".wav", ".wav49":
		return "audio/wav"
	case ".ogg", ".oga", ".opus":
		return "audio/ogg"
	case ".m4a", ".mp4":
		return "audio/mp4"
	case ".aac":
		return "audio/aac"
	case ".flac":
		return "audio/flac"
	case ".weba", ".webm":
		return "audio/webm"
	case ".amr":
		return "audio/amr"
	case ".gsm":
		return "audio/gsm"
	case ".au", ".ulaw":
		return "audio/basic"
	default:
		return ""
	}
}

// typeOf is the media type of a recording by its name, or else by what its source says, if that is one of those above.
func typeOf(name, said string) string {
	if known := mediaType(strings.ToLower(path.Ext(name))); known != "" {
		return known
	}
	switch media, _, _ := mime.ParseMediaType(said); media {
	case "audio/mpeg", "audio/mp3":
		return "audio/mpeg"
	case "audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave":
		return "audio/wav"
	case "audio/ogg", "audio/mp4", "audio/aac", "audio/flac", "audio/webm", "audio/amr", "audio/gsm", "audio/basic":
		return media
	}
	return "application/octet-stream"
}

// disposition lets a browser play a recording, and says what it is called when it is kept.
func disposition(name string) string {
	const maxRunes = 100
	base := []rune(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || strings.ContainsRune(`"*/:<>?\|`, c) {
			return '_'
		}
		return c
	}, strings.TrimLeft(path.Base(name), ".")))
	if len(base) > maxRunes { // its end says what it is
		base = base[len(base)-maxRunes:]
	}
	return mime.FormatMediaType("inline", map[string]string{"filename": string(base)})
}
