package push

import (
	"log/slog"
	"net/http"

	"github.com/rs/cors"

	"ringcast/gateway"
)

// Pages returns a handler by which the pages of these origins may use next, as browsers want to be told (CORS). Those
// of others are refused with CodeOrigin, and refused is called for each; who is no page sends no Origin and may.
func (o *Origins) Pages(next http.Handler, logger *slog.Logger, refused func(*http.Request)) http.Handler {
	reflect := cors.New(cors.Options{
		AllowOriginFunc: o.Allowed,
		AllowedMethods:  []string{http.MethodGet, http.MethodPost},
		AllowedHeaders:  []string{"Content-Type", "Authorization", "X-Auth-Token", "X-Requested-With"},
		ExposedHeaders:  []string{"Retry-After"},
		MaxAge:          7200,
	}).Handler(next)
	return gateway.Handle(logger, func(w http.ResponseWriter, r *http.Request) error {
		// A simple request needs no permission to be sent, so CORS headers alone would not stop it.
		if origin := r.Header.Get("Origin"); origin != "" && !o.Allowed(origin) {
			w.Header().Add("Vary", "Origin")
			refused(r)
			return gateway.Errorf(gateway.CodeOrigin, "pages of %q are not allowed here: add the origin to the configuration", origin)
		}
		reflect.ServeHTTP(w, r)
		return nil
	})
}
