// Package amocrm speaks to amoCRM and Kommo.
//
// # Who a widget's user is
//
// [Verifier] checks the disposable tokens with which $authorizedAjax signs a page's requests. A token proves account and
// user to the one integration whose secret it is signed with; it gives no access to the CRM's API. The package imports no
// rung: cmd hands the Verifier to package push, whose Exchanger it is by shape.
//
// # Access to accounts
//
// [Installs] are the accounts that let an [Integration] in, and their tokens. The store has them, with the secrets sealed
// by [Sealer], and all nodes follow it; a pair is renewed by the one node that holds the lease in its account's record, and
// is written before it is used. A code or a secret leaves only for a host that an account of the integration may have, and
// no redirect is followed. What the CRM refuses for good is not asked again until the account is installed anew or the
// configuration is another; what fails for now is tried ever more seldom.
package amocrm
