package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"ringcast/static"
	"ringcast/widget"
)

// widgetFlags are the flags of ringcast widget, which does one of four things: write the archive of an account's
// widget, check any archive, list the rules, or serve a folder to work in.
type widgetFlags struct {
	config, account, out, version, platform, locales string

	check   string
	rules   bool
	publish publishFlags

	dev         bool
	listen, src string
}

// publishFlags are what goes with an archive that is handed in.
type publishFlags struct {
	on                 bool
	published, account string
}

func (a *app) widget(ctx context.Context, flags *flag.FlagSet, args []string) error {
	var f widgetFlags
	flags.StringVar(&f.config, "config", "", "the config `file`")
	flags.StringVar(&f.account, "account", "", "the `id` of the account, or of the integration")
	flags.StringVar(&f.out, "out", "", "the archive to write; left out: widget.zip, the name that amoCRM wants, and with -dev widget-dev.zip")
	flags.StringVar(&f.version, "version", widget.Version, "the widget's version, to be raised at each upload")
	flags.StringVar(&f.platform, "platform", "", "amocrm or kommo; left out: as the account's domain says")
	flags.StringVar(&f.locales, "locales", "", "languages such as ru,en; left out: all of the platform that there are")
	flags.StringVar(&f.check, "check", "", "check this archive, a `file`, instead of making one")
	flags.BoolVar(&f.rules, "rules", false, "print the rules, instead of making an archive")
	flags.BoolVar(&f.publish.on, "publish", false, "ask also for what a widget needs to be published")
	flags.StringVar(&f.publish.published, "published", "", "the archive that is published now, a `file`")
	flags.StringVar(&f.publish.account, "technical-account", "", "the account that the reviewers get, such as acme.amocrm.ru")
	flags.BoolVar(&f.dev, "dev", false, "write an archive that loads the widget from this machine, and serve it from a folder")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8788", "with -dev: the `address` to serve at")
	flags.StringVar(&f.src, "src", "", "the `folder` with the widget's source; left out: what is in this program, and with -dev widget/src")
	if err := parse(flags, args); err != nil {
		return err
	}
	switch {
	case f.rules:
		return a.printRules()
	case f.check != "":
		return a.checkWidget(f)
	}
	if err := parse(flags, nil, "config", "account"); err != nil {
		return err
	}
	if f.dev {
		f.src, f.out = cmp.Or(f.src, filepath.Join("widget", "src")), cmp.Or(f.out, "widget-dev.zip")
	}
	f.out = cmp.Or(f.out, "widget.zip")
	account, err := a.widgetAccount(f)
	if err != nil {
		return err
	}
	if f.dev {
		return a.developWidget(ctx, f, account)
	}
	return a.packWidget(f, account)
}

// widgetAccount is an account's part of a widget.
type widgetAccount struct {
	widget.Config
	origins []string
}

func (a *app) widgetAccount(f widgetFlags) (*widgetAccount, error) {
	cfg, err := loadWithoutSecrets(f.config)
	if err != nil {
		return nil, err
	}
	w := widgetConfig(cfg.PublicURL, f.version)
	acc, ok := cfg.Account(f.account)
	in, shared := cfg.Integration(f.account)
	switch {
	case !shared && !ok:
		return nil, fmt.Errorf("%s names no account %q", f.config, f.account)
	case !shared && acc.AmoCRM == nil:
		return nil, fmt.Errorf("account %q has no crm of kind amocrm in %s", f.account, f.config)
	case !cfg.publicURLGiven && !f.dev:
		return nil, fmt.Errorf("%s sets no public_url, so the widget would look for the gateway at %s, which is each user's own machine: "+
			"set public_url to what the outside sees, such as https://calls.example.com", f.config, cfg.PublicURL)
	case shared:
		w.Support, w.PrivacyURL = widget.Support(in.Support), in.PrivacyURL
		w.Platform, err = widget.ParsePlatform(cmp.Or(f.platform, string(in.Platform)))
	default:
		w.Support, w.PrivacyURL = widget.Support(acc.AmoCRM.Support), acc.AmoCRM.PrivacyURL
		w.Platform, err = f.platformOf(acc.AmoCRM.Domain)
	}
	if err != nil {
		return nil, err
	}
	for lang := range strings.SplitSeq(f.locales, ",") {
		if lang = strings.TrimSpace(lang); lang != "" {
			w.Locales = append(w.Locales, lang)
		}
	}
	if f.src != "" {
		if _, err := os.Stat(filepath.Join(f.src, "manifest.json")); err != nil {
			return nil, fmt.Errorf("-src %s: there is no manifest.json in it: name the folder with the widget's source, which in Ringcast's own is widget/src", f.src)
		}
		w.Source = os.DirFS(f.src)
	}
	return &widgetAccount{w, cfg.Origins}, nil
}

func (f widgetFlags) platformOf(domain string) (widget.Platform, error) {
	if f.platform != "" {
		return widget.ParsePlatform(f.platform)
	}
	return widget.PlatformOf(domain), nil
}

func (a *app) packWidget(f widgetFlags, account *widgetAccount) error {
	var archive bytes.Buffer
	if err := widget.Build(&archive, account.Config); err != nil {
		return err
	}
	opt := widget.CheckOptions{Platform: account.Platform, Name: filepath.Base(f.out)}
	notices, err := holdAgainstRules(archive.Bytes(), opt, f.publish)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.out, archive.Bytes(), 0o644); err != nil { //nolint:gosec // it is to be uploaded
		return err
	}
	reached := strings.HasPrefix(account.URL, "https://")
	if reached {
		fmt.Fprintln(a.stdout, "Ready to upload.")
	}
	fmt.Fprintf(a.stdout, "%s: %d bytes, version %s, for %s, for the gateway at %s\n", f.out, archive.Len(), account.Version, account.Platform, account.URL)
	if !f.publish.on {
		notices = slices.DeleteFunc(notices, isForPublishing)
	}
	a.printNotices(notices)
	if !reached {
		fmt.Fprintf(a.stderr, "warning: pages of %s are https and will not connect to a public_url without it\n", account.Platform)
	}
	return nil
}

func (a *app) checkWidget(f widgetFlags) error {
	archive, err := os.ReadFile(f.check)
	if err != nil {
		return err
	}
	platform, err := f.platformOf("")
	if err != nil {
		return err
	}
	opt := widget.CheckOptions{Platform: platform, Name: filepath.Base(f.check)}
	notices, err := holdAgainstRules(archive, opt, f.publish)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: nothing that %s would refuse it for\n", f.check, platform)
	a.printNotices(notices)
	return nil
}

// holdAgainstRules checks an archive. It returns the notices; the error is what it is refused for.
func holdAgainstRules(archive []byte, opt widget.CheckOptions, publish publishFlags) ([]widget.Finding, error) {
	opt.Publish, opt.TechnicalAccount = publish.on, publish.account
	if publish.published != "" {
		published, err := os.ReadFile(publish.published)
		if err != nil {
			return nil, err
		}
		opt.Published = published
	}
	findings := widget.Check(archive, opt)
	if err := widget.Refusals(findings); err != nil {
		return nil, err
	}
	return findings, nil
}

func (a *app) printNotices(notices []widget.Finding) {
	if len(notices) == 0 {
		return
	}
	fmt.Fprintln(a.stdout, "To look at; nothing is refused for it:")
	for _, n := range notices {
		fmt.Fprintln(a.stdout, "  "+n.String())
	}
}

// isForPublishing says of a notice that it is about a rule for published widgets only.
func isForPublishing(notice widget.Finding) bool {
	return slices.ContainsFunc(widget.Rules(), func(r widget.Rule) bool { return r.Name == notice.Rule && r.By == widget.Publishing })
}

func (a *app) printRules() error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "rule\tkept by\tsource\twhat it says")
	for _, r := range widget.Rules() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Name, r.By, r.Source, r.Text)
	}
	return w.Flush()
}

// widgetConfig is a widget of this program for a gateway.
func widgetConfig(url, version string) widget.Config {
	return widget.Config{URL: url, ClientJS: static.ClientJS, Version: version}
}

func buildWidget(url, version string) ([]byte, error) {
	var archive bytes.Buffer
	err := widget.Build(&archive, widgetConfig(url, version))
	return archive.Bytes(), err
}
